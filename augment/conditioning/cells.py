"""Planes at the resolution of an image as channels at that of a layout, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from augment.errors import UserError
from augment.stride import STRIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray


def to_cells(planes: NDArray[np.floating], block: int = 1) -> NDArray[np.float16]:
    """Turn the pixels of each 8 x 8 cell into channels (space to depth), so that no resolution is lost.

    Args:
        planes: `float [B, H, W]`.
        block: pixels, along each side, that are averaged first: 1, 2, 4 or 8.

    Returns:
        `float16 [B, (8 / block)^2, H / 8, W / 8]`; channels in the order of `torch.nn.functional.pixel_unshuffle`.

    Raises:
        UserError: the size is not a multiple of 8.
    """
    count, (height, width) = len(planes), grid_of(*planes.shape[1:])
    side = STRIDE // block
    pooled = planes.reshape(count, height * side, block, width * side, block).mean(axis=(2, 4))
    cells = pooled.reshape(count, height, side, width, side).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(cells.reshape(count, side * side, height, width), dtype=np.float16)


def from_cells(cells: NDArray[np.floating]) -> NDArray[np.floating]:
    """The plane `[h * n, w * n]` of the `n^2` channels of a map `[n^2, h, w]`; the inverse of `to_cells`."""
    channels, height, width = cells.shape
    side = round(channels**0.5)
    return cells.reshape(side, side, height, width).transpose(2, 0, 3, 1).reshape(height * side, width * side)


def grid_of(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the cells of an image; raises UserError if its size is not a multiple of 8."""
    if height % STRIDE or width % STRIDE:
        raise UserError(f"image size {width}x{height} is not a multiple of {STRIDE}: choose one that is")
    return height // STRIDE, width // STRIDE
