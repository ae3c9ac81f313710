"""Images as tensors, tensors as images, and image grids on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from augment.errors import require_finite

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def to_unit(images: NDArray[np.uint8]) -> torch.Tensor:
    """Turn `uint8 [B, H, W, 3]` into `float32 [B, 3, H, W]` in -1..1."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pixels(images: torch.Tensor) -> NDArray[np.uint8]:
    """Turn `float [B, 3, H, W]` in -1..1 into `uint8 [B, H, W, 3]`, rounded and clipped.

    Raises:
        NotFinite: a value is infinite, or NaN, which would become black.
    """
    require_finite(images, "the images")
    return to_levels(images.detach()).cpu().numpy()


def to_levels(images: torch.Tensor) -> torch.Tensor:
    """The same as a tensor on its device; what is not finite becomes any level."""
    levels = ((images.float() + 1) * 127.5).round().clamp(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def save_grid(rows: Sequence[NDArray[np.uint8]], path: Path) -> None:
    """Write rows of images, each `uint8 [N, H, W, 3]` of one size, as a PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([np.concatenate(list(row), axis=1) for row in rows])).save(path)
