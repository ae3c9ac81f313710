"""The part of an adapter that reads a layout, for any number of components."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augment.errors import UserError
from augment.stride import STRIDE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class EmbeddedLayout(NamedTuple):
    """What a `LayoutEncoder` gives for a layout: pass it in place of planes, and they are not embedded again.

    Attributes:
        values: on the grid of the latents, or as tokens.
    """

    values: Tensor


class LayoutEncoder(nn.Module):
    """Embeds a layout `[B, K + 2, h, w]` (components, and two planes that encode k) into `[B, C, h, w]`.

    With patches of p cells, it gives tokens `[B, (h / p) (w / p), C]`, as transformers read them.

    Its last convolution starts at zero, so that an untrained adapter does not change the base model.
    """

    def __init__(self, num_components: int, hidden_channels: int, out_channels: int, patch: int | None = None) -> None:
        super().__init__()
        self.patch = patch
        self.conv_in = nn.Conv2d(num_components + 2, hidden_channels, 3, padding=1)
        self.conv_mid = nn.Conv2d(hidden_channels, hidden_channels, 3, padding=1)
        size, stride, padding = (3, 1, 1) if patch is None else (patch, patch, 0)
        self.conv_out = nn.Conv2d(hidden_channels, out_channels, size, stride, padding)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    def embed(self, layout: Tensor, k: Tensor, sample: Tensor) -> EmbeddedLayout:
        """Embed a layout `[B, K, h, w]` and its ks for latents `[B, C, H, W]`; see `layout_planes`.

        Raises:
            UserError: the layout's grid does not divide the latent grid.
        """
        planes = layout_planes(layout.to(sample.dtype), k)
        return EmbeddedLayout(self(to_latent_grid(planes, sample)))

    def forward(self, planes: Tensor | EmbeddedLayout) -> Tensor:
        """Embed the planes, if they are not embedded yet."""
        if isinstance(planes, EmbeddedLayout):
            return planes.values
        hidden = F.silu(self.conv_in(planes))
        embedded = self.conv_out(F.silu(hidden + self.conv_mid(hidden)))
        return embedded if self.patch is None else embedded.flatten(2).transpose(1, 2)


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


def layout_image(layout: NDArray[np.float16] | Tensor, k: int | None = None) -> Tensor:
    """What the pipelines of diffusers take as the `image` of an adapter: planes at the size of the image to paint.

    Args:
        layout: `float [K, h, w]`.
        k: leading components to follow, 0..K; None is K.

    Returns:
        `float32 [1, K + 2, 8 h, 8 w]`.
    """
    batch = torch.as_tensor(layout).float()[None]
    planes = layout_planes(batch, torch.tensor([batch.shape[1] if k is None else k]))
    return F.interpolate(planes, scale_factor=float(STRIDE), mode="nearest")


def to_latent_grid(planes: Tensor, sample: Tensor) -> Tensor:
    """Bring planes `[B, K + 2, h, w]` to the grid of latents `[B, C, H, W]`.

    H and W are the same whole multiple of h and w; or h and w are one of H and W, in planes that the pipelines of
    diffusers have enlarged to the size of the image.

    Raises:
        UserError: neither is so.
    """
    rows, columns = sample.shape[-2:]
    enlarged = planes.shape[-1] // columns
    if enlarged > 1 and planes.shape[-2:] == (rows * enlarged, columns * enlarged):
        return planes[..., ::enlarged, ::enlarged]
    factor = columns // planes.shape[-1]
    if (rows, columns) != (planes.shape[-2] * factor, planes.shape[-1] * factor):
        raise UserError(
            f"a layout of {planes.shape[-1]}x{planes.shape[-2]} cells does not fit latents of "
            f"{columns}x{rows}: extract it at the size to generate"
        )
    return F.interpolate(planes, scale_factor=float(factor), mode="nearest") if factor > 1 else planes
