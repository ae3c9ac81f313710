"""LayoutControlNet: a ControlNet that reads a neural layout at latent resolution, for any number of components."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from diffusers import ConfigMixin, ControlNetModel, ModelMixin
from diffusers.configuration_utils import register_to_config

from augment.errors import UserError
from augment.loading import copy_weights, load_whole
from augment.lumen.layout_encoder import EmbeddedLayout, LayoutEncoder, layout_planes, to_latent_grid
from augment.lumen.sd3_adapter import LayoutSD3ControlNet

if TYPE_CHECKING:
    from pathlib import Path

    from diffusers import UNet2DConditionModel
    from torch import Tensor

    from augment.lumen.bases.text import Text

# diffusers loads any folder as any class, and initializes missing weights at random. ControlNetModel takes
# `down_block_types` from the configuration and refuses this value, with the text in its message.
REFUSAL = ("this is no ControlNetModel: load it with augment.lumen.adapter.LayoutControlNet.from_pretrained",)


class PlanesControlNet(ControlNetModel):
    """diffusers' ControlNet on the planes of a layout, see `layout_planes`, in place of an RGB image.

    The pipelines of diffusers take it as `controlnet`, and what `layout_image` gives as `image`. Their `guess_mode`
    keeps the layout from the branch that guidance steers away from, and here weakens no residual.
    """

    def forward(
        self,
        sample: Tensor,
        timestep: Any,
        encoder_hidden_states: Tensor,
        controlnet_cond: Tensor | EmbeddedLayout,
        **options: Any,
    ) -> Any:
        """The residuals of planes `controlnet_cond`; see `ControlNetModel.forward` for all other arguments."""
        planes: Any = controlnet_cond
        if isinstance(planes, torch.Tensor):
            planes = to_latent_grid(planes, sample)
        options.pop("guess_mode", None)
        return super().forward(sample, timestep, encoder_hidden_states, planes, **options)


class LayoutControlNet(ModelMixin, ConfigMixin):
    """diffusers' ControlNet with its RGB hint encoder replaced by a `LayoutEncoder`, for Stable Diffusion and SDXL.

    One set of weights serves every number of components k in 0..`num_components`: the layout's channels past k
    are zero, and k itself is an input, because zero also means "average".

    Only `LayoutControlNet.from_pretrained` reads a saved adapter: `ControlNetModel.from_pretrained` raises.
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        num_components: int,
        controlnet_config: dict[str, Any],
        hidden_channels: int = 128,
        down_block_types: tuple[str, ...] = REFUSAL,  # noqa: ARG002 - see REFUSAL
    ) -> None:
        super().__init__()
        self.controlnet = PlanesControlNet(**controlnet_config)
        width = self.controlnet.config.block_out_channels[0]
        self.controlnet.controlnet_cond_embedding = LayoutEncoder(num_components, hidden_channels, width)

    @classmethod
    def from_base(cls, unet: UNet2DConditionModel, num_components: int, hidden_channels: int = 128) -> LayoutControlNet:
        """An untrained adapter for `unet`, its encoder half copied from the U-Net's."""
        adapter = cls.from_controlnet(ControlNetModel.from_unet(unet), num_components, hidden_channels)
        return adapter if unet.dtype == torch.float32 else adapter.to(unet.dtype)

    @classmethod
    def from_controlnet(
        cls, source: ControlNetModel, num_components: int, hidden_channels: int = 128
    ) -> LayoutControlNet:
        """An adapter that begins as a ControlNet without its condition; see `augment.lumen.warm_start`."""
        config = {key: value for key, value in source.config.items() if not key.startswith("_")}
        # `bgr` would turn the order of the planes of a layout around.
        config["controlnet_conditioning_channel_order"] = "rgb"
        adapter = cls(num_components=num_components, controlnet_config=config, hidden_channels=hidden_channels)
        copy_weights(source, adapter.controlnet, but="controlnet_cond_embedding")
        return adapter

    def forward(self, sample: Tensor, timestep: Tensor, text: Text, layout: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        """Residuals that the layout adds to the U-Net's skip connections, and last to its middle.

        Args:
            sample: noisy latents `[B, C, H, W]`.
            timestep: `int64 [B]`.
            text: B prompts, as the base embeds them.
            layout: `float [B, K, h, w]`; H and W are the same whole multiple of h and w.
            k: `int64 [B]`, components to use, 0..K; or `[B, h, w]`, those to use in each cell.

        Returns:
            Residuals for `DiffusionModel.denoise`.

        Raises:
            UserError: the layout's grid does not divide the latent grid.
        """
        return self.residuals(sample, timestep, text, layout_planes(layout.to(sample.dtype), k))

    def embed(self, layout: Tensor, k: Tensor, sample: Tensor) -> EmbeddedLayout:
        """Embed a layout once for all steps; see `forward` for the arguments."""
        embedded: EmbeddedLayout = self.controlnet.controlnet_cond_embedding.embed(layout, k, sample)
        return embedded

    def residuals(
        self, sample: Tensor, timestep: Tensor, text: Text, planes: Tensor | EmbeddedLayout
    ) -> tuple[Tensor, ...]:
        """What `forward` gives, for the planes of a layout, or for what `embed` gave."""
        down, middle = self.controlnet(
            sample, timestep, text.embeddings, planes, added_cond_kwargs=text.added_conditions, return_dict=False
        )
        return (*down, middle)


Adapter = LayoutControlNet | LayoutSD3ControlNet
CLASSES = {kind.__name__: kind for kind in (LayoutControlNet, LayoutSD3ControlNet)}


def load_adapter(folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Adapter:
    """Load an adapter that `save_pretrained` of its class wrote to `folder`, in float32 or another precision.

    Raises:
        UserError: the folder holds no such adapter, or weights are missing.
    """
    path = folder / "config.json"
    kind = json.loads(path.read_text(encoding="utf-8")).get("_class_name") if path.is_file() else None
    if kind not in CLASSES:
        raise UserError(f"{folder} holds no layout adapter; give a folder that adapt wrote")
    adapter: Adapter = load_whole(CLASSES[kind], folder, torch_dtype=dtype)
    return adapter.to(device)
