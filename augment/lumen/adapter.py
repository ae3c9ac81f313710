"""LayoutControlNet: a ControlNet that reads a neural layout at latent resolution, for any number of components."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ControlNetModel, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from augment.errors import UserError
from augment.loading import load_whole

if TYPE_CHECKING:
    from pathlib import Path

    from diffusers import UNet2DConditionModel

    from augment.lumen.bases.text import Text

# diffusers loads any folder as any class, and initializes missing weights at random. ControlNetModel takes
# `down_block_types` from the configuration and refuses this value, with the text in its message.
REFUSAL = ("this is no ControlNetModel: load it with augment.lumen.adapter.LayoutControlNet.from_pretrained",)


class LayoutEncoder(nn.Module):
    """Embeds a layout `[B, K + 2, h, w]` (components, and two planes that encode k) into `[B, C, h, w]`.

    Its last convolution starts at zero, so that an untrained adapter does not change the base model.
    """

    def __init__(self, num_components: int, hidden_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(num_components + 2, hidden_channels, 3, padding=1)
        self.conv_mid = nn.Conv2d(hidden_channels, hidden_channels, 3, padding=1)
        self.conv_out = nn.Conv2d(hidden_channels, out_channels, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    def forward(self, planes: Tensor) -> Tensor:
        """Embed the planes."""
        hidden = F.silu(self.conv_in(planes))
        return self.conv_out(F.silu(hidden + self.conv_mid(hidden)))


class LayoutControlNet(ModelMixin, ConfigMixin):
    """diffusers' ControlNet with its RGB hint encoder replaced by a `LayoutEncoder`.

    One set of weights serves every number of components k in 0..`num_components`: the layout's channels past k
    are zero, and k itself is an input, because zero also means "average".

    Only `LayoutControlNet.from_pretrained` reads a saved adapter: `ControlNetModel.from_pretrained` raises.
    """

    @register_to_config
    def __init__(
        self,
        num_components: int,
        controlnet_config: dict[str, Any],
        hidden_channels: int = 128,
        down_block_types: tuple[str, ...] = REFUSAL,  # noqa: ARG002 - see REFUSAL
    ) -> None:
        super().__init__()
        self.controlnet = ControlNetModel(**controlnet_config)
        width = self.controlnet.config.block_out_channels[0]
        self.controlnet.controlnet_cond_embedding = LayoutEncoder(num_components, hidden_channels, width)

    @classmethod
    def from_base(cls, unet: UNet2DConditionModel, num_components: int, hidden_channels: int = 128) -> LayoutControlNet:
        """An untrained adapter for `unet`, its encoder half copied from the U-Net's."""
        source = ControlNetModel.from_unet(unet)
        config = {key: value for key, value in source.config.items() if not key.startswith("_")}
        adapter = cls(num_components=num_components, controlnet_config=config, hidden_channels=hidden_channels)
        weights = {
            key: value for key, value in source.state_dict().items() if not key.startswith("controlnet_cond_embedding")
        }
        adapter.controlnet.load_state_dict(weights, strict=False)
        return adapter if unet.dtype == torch.float32 else adapter.to(unet.dtype)

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
        planes = layout_planes(layout.to(sample.dtype), k)
        factor = sample.shape[-1] // planes.shape[-1]
        if sample.shape[-2:] != (planes.shape[-2] * factor, planes.shape[-1] * factor):
            raise UserError(
                f"a layout of {planes.shape[-1]}x{planes.shape[-2]} cells does not fit latents of "
                f"{sample.shape[-1]}x{sample.shape[-2]}: extract it at the size to generate"
            )
        if factor > 1:
            planes = F.interpolate(planes, scale_factor=float(factor), mode="nearest")
        down, middle = self.controlnet(sample, timestep, text.embeddings, planes, return_dict=False)
        return (*down, middle)


def load_adapter(folder: Path, device: str = "cpu") -> LayoutControlNet:
    """Load an adapter that `LayoutControlNet.save_pretrained` wrote to `folder`, in float32.

    Raises:
        UserError: the folder holds no such adapter, or weights are missing.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds no layout adapter; give a folder that adapt wrote")
    adapter: LayoutControlNet = load_whole(LayoutControlNet, folder, torch_dtype=torch.float32)
    return adapter.to(device)


def layout_planes(layout: Tensor, k: Tensor) -> Tensor:
    """Zero the components past k, and append planes of k / K and log(1 + k) / log(1 + K).

    Args:
        layout: `float [B, K, h, w]`.
        k: `int64 [B]`, or `[B, h, w]` with a k for each cell; 0..K.

    Returns:
        `float [B, K + 2, h, w]`; where all cells of an image have one k, the same bits as with that k alone.
    """
    count = layout.shape[1]
    kept = layout * components_kept(count, k).to(layout.dtype)
    share = (k[:, None, None] if k.ndim == 1 else k).to(layout.dtype)
    encoded = torch.stack([share / count, torch.log1p(share) / math.log1p(count)], dim=1)
    return torch.cat([kept, encoded.expand(-1, -1, *layout.shape[2:])], dim=1)


def components_kept(count: int, k: Tensor) -> Tensor:
    """Which of `count` components are among the first k: `bool [B, count, 1, 1]` or `[B, count, h, w]`."""
    of_cells = k[:, None, None] if k.ndim == 1 else k
    return torch.arange(count, device=k.device)[:, None, None] < of_cells[:, None]
