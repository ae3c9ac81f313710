"""Pictures of layouts, with one mapping of colours for all layouts of a basis, so that they can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Standard deviations of the fit data that fill the range of a picture of three components, and of one.
THREE, ONE = 2.0, 3.0
# Blue, white and red of ColorBrewer's RdBu: colours of equal distance on both sides of zero, for any eye.
_BELOW, _ZERO, _ABOVE = np.array([[33, 102, 172], [247, 247, 247], [178, 24, 43]], np.float32)


def layout_picture(layout: NDArray[np.floating], height: int, width: int) -> NDArray[np.uint8]:
    """Show the first three components of a layout `[K, h, w]` as red, green and blue.

    Returns:
        `uint8 [height, width, 3]`; -2 to 2 standard deviations of the fit data fill the range.
    """
    planes = np.zeros((3, *layout.shape[1:]), dtype=np.float32)
    planes[: min(3, len(layout))] = layout[:3]
    levels = np.clip(127.5 + planes * (127.5 / THREE), 0, 255).round().astype(np.uint8).transpose(1, 2, 0)
    return _resized(levels, height, width)


def component_picture(component: NDArray[np.floating], height: int, width: int) -> NDArray[np.uint8]:
    """Show one component `[h, w]` in blue below zero, white at zero, and red above.

    Returns:
        `uint8 [height, width, 3]`; -3 to 3 standard deviations of the fit data fill the range.
    """
    place = np.clip(np.asarray(component, np.float32) / ONE, -1, 1)[..., None]
    colors = _ZERO + np.where(place < 0, (_ZERO - _BELOW) * place, (_ABOVE - _ZERO) * place)
    return _resized(colors.round().astype(np.uint8), height, width)


def picture_grid(
    pictures: Sequence[NDArray[np.uint8]], columns: int, gap: int = 2, paper: int = 255
) -> NDArray[np.uint8]:
    """Arrange pictures of one size, row by row from the left.

    Args:
        pictures: `uint8 [h, w, 3]`, one or more.
        columns: pictures in a row.
        gap: pixels between two pictures.
        paper: grey level of the space between them, 0..255.

    Returns:
        `uint8 [rows * (h + gap) - gap, columns * (w + gap) - gap, 3]`.
    """
    rows = -(-len(pictures) // columns)
    height, width = (side + gap for side in pictures[0].shape[:2])
    grid = np.full((rows * height - gap, columns * width - gap, 3), paper, np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        grid[row * height : (row + 1) * height - gap, column * width : (column + 1) * width - gap] = picture
    return grid


def _resized(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST))
