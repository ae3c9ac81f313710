"""Pictures of the maps of each kind of conditioning."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from augment.conditioning.cells import from_cells
from augment.conditioning.options import LAYOUT
from augment.layouts.pictures import layout_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Turns of the colour wheel from one class to the next, so that the colours of few classes are far apart.
_GOLDEN = 0.618034


def conditioning_picture(
    kind: str,
    maps: NDArray[np.floating],
    height: int,
    width: int,
    palette: Sequence[tuple[int, int, int]] | None = None,
) -> NDArray[np.uint8]:
    """Show the maps `[K, h, w]` of one image as `uint8 [height, width, 3]`.

    Edges are white, depth is grey with two deviations filling the range, and each class has a colour, mixed by its
    share of a cell; what has no class is black. For layouts see `layout_picture`.

    Args:
        kind: of the conditioning.
        maps: `[K, h, w]`.
        height, width: of the picture.
        palette: colours of the classes of a label map; None takes some of its own.
    """
    if kind == LAYOUT:
        return layout_picture(maps, height, width)
    if kind == "label":
        colors = class_colors(len(maps)) if palette is None else np.array(palette, np.float32)
        levels = np.einsum("khw,kc->hwc", maps.astype(np.float32), colors)
    else:
        plane = from_cells(maps.astype(np.float32))
        levels = np.repeat((127.5 + plane * (127.5 / 2) if kind == "depth" else plane * 255)[..., None], 3, axis=2)
    image = Image.fromarray(np.clip(levels, 0, 255).round().astype(np.uint8))
    return np.asarray(image.resize((width, height), Image.Resampling.NEAREST))


def class_colors(count: int) -> NDArray[np.float32]:
    """A colour `float32 [count, 3]` in 0..255 for each class, always the same."""
    colors = [colorsys.hsv_to_rgb(index * _GOLDEN % 1, 0.65, 1 - 0.3 * (index % 2)) for index in range(count)]
    return np.array(colors, np.float32) * 255
