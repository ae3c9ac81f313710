"""LayoutSD3ControlNet: the adapter of Stable Diffusion 3.x."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers import ConfigMixin, ModelMixin, SD3ControlNetModel
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from augment.loading import copy_weights
from augment.lumen.layout_encoder import EmbeddedLayout, LayoutEncoder, layout_planes, to_latent_grid

if TYPE_CHECKING:
    from diffusers import SD3Transformer2DModel
    from typing_extensions import Self

    from augment.lumen.bases.text import Text

# As in augment.lumen.adapter: the attention of SD3ControlNetModel and SD3Transformer2DModel refuses this norm.
REFUSAL = "this is no SD3ControlNetModel: load it with augment.lumen.adapter.load_adapter"


class PlanesSD3ControlNet(SD3ControlNetModel):
    """diffusers' ControlNet of Stable Diffusion 3 on the planes of a layout, see `layout_planes`, in place of an image.

    The pipeline of diffusers passes images through the autoencoder, which planes do not fit: keep them in `planes`
    before the call, and give the pipeline any image of the size to paint.

    Attributes:
        planes: `[N, K + 2, h, w]`, for batches of any multiple of N; None takes those of the call.
    """

    planes: Tensor | None = None

    def forward(self, hidden_states: Tensor, controlnet_cond: Tensor | EmbeddedLayout, **options: Any) -> Any:
        """The residuals of a layout; see `SD3ControlNetModel.forward` for all other arguments."""
        planes: Any = controlnet_cond
        if self.planes is not None:
            copies = len(hidden_states) // len(self.planes)
            planes = self.planes.to(hidden_states).repeat(copies, 1, 1, 1)
        if isinstance(planes, Tensor):
            planes = to_latent_grid(planes, hidden_states)
        return super().forward(hidden_states, planes, **options)


class LayoutSD3ControlNet(ModelMixin, ConfigMixin):
    """diffusers' ControlNet of Stable Diffusion 3 with a `LayoutEncoder` in place of its encoder of hints.

    See `LayoutControlNet` for k.
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        num_components: int,
        controlnet_config: dict[str, Any],
        hidden_channels: int = 128,
        qk_norm: str = REFUSAL,  # noqa: ARG002 - see REFUSAL
    ) -> None:
        super().__init__()
        self.controlnet = PlanesSD3ControlNet(**controlnet_config)
        patch = self.controlnet.config.patch_size
        self.controlnet.pos_embed_input = LayoutEncoder(
            num_components, hidden_channels, self.controlnet.inner_dim, patch
        )

    @classmethod
    def from_base(
        cls, transformer: SD3Transformer2DModel, num_components: int, hidden_channels: int = 128
    ) -> LayoutSD3ControlNet:
        """An untrained adapter for `transformer`, with copies of the first half of its blocks."""
        config = {key: value for key, value in transformer.config.items() if not key.startswith("_")}
        layers = max(1, config["num_layers"] // 2)
        own = {
            "num_layers": layers,
            "dual_attention_layers": tuple(i for i in config["dual_attention_layers"] if i < layers),
            "force_zeros_for_pooled_projection": False,
        }
        adapter = cls(num_components, {**config, **own}, hidden_channels)
        controlnet = adapter.controlnet
        for part in ("pos_embed", "time_text_embed", "context_embedder"):
            getattr(controlnet, part).load_state_dict(getattr(transformer, part).state_dict())
        for block, source in zip(controlnet.transformer_blocks, transformer.transformer_blocks, strict=False):
            block.load_state_dict(source.state_dict())
        return adapter if transformer.dtype == torch.float32 else adapter.to(transformer.dtype)

    @classmethod
    def from_controlnet(
        cls, source: SD3ControlNetModel, num_components: int, hidden_channels: int = 128
    ) -> LayoutSD3ControlNet:
        """See `LayoutControlNet.from_controlnet`."""
        config = {key: value for key, value in source.config.items() if not key.startswith("_")}
        # They are those of its condition.
        config["extra_conditioning_channels"] = 0
        adapter = cls(num_components, config, hidden_channels)
        copy_weights(source, adapter.controlnet, but="pos_embed_input")
        return adapter

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set whether the adapter is trained, but for what the last block computes of the text.

        Nothing reads that. Its layers have no gradient, so that weight decay would change them in a group of workers,
        where gradients are zeros, and not in a single one.
        """
        super().requires_grad_(requires_grad)
        last: Any = self.controlnet.transformer_blocks[-1]
        for part in (last.attn.to_add_out, last.ff_context):
            if part is not None:
                part.requires_grad_(False)
        return self

    def forward(self, sample: Tensor, timestep: Tensor, text: Text, layout: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        """Residuals `[B, tokens, width]` that the layout adds to the blocks of the transformer.

        See `LayoutControlNet.forward` for the arguments.
        """
        return self.residuals(sample, timestep, text, layout_planes(layout.to(sample.dtype), k))

    def embed(self, layout: Tensor, k: Tensor, sample: Tensor) -> EmbeddedLayout:
        """See `LayoutControlNet.embed`."""
        embedded: EmbeddedLayout = self.controlnet.pos_embed_input.embed(layout, k, sample)
        return embedded

    def residuals(
        self, sample: Tensor, timestep: Tensor, text: Text, planes: Tensor | EmbeddedLayout
    ) -> tuple[Tensor, ...]:
        """See `LayoutControlNet.residuals`."""
        assert text.pooled is not None
        # As the pipeline of diffusers does for ControlNets that were trained so.
        without = self.controlnet.config.force_zeros_for_pooled_projection
        (residuals,) = self.controlnet(
            sample,
            controlnet_cond=planes,
            encoder_hidden_states=text.embeddings,
            pooled_projections=torch.zeros_like(text.pooled) if without else text.pooled,
            timestep=timestep,
            return_dict=False,
        )
        return tuple(residuals)
