"""What the place of a removed object is filled with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt

from augment.errors import UserError
from augment.layouts.objects import require_label
from augment.layouts.scene import cells_of, in_blocks, pixels_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from augment.layouts.scene import Cells, Scene

# What surrounds a hole is looked for in its own row first: a layout also encodes the height in the image.
_ROW_DISTANCE = 4.0
# Least share of an object's pixels that a class of the object has.
_SHARE_OF_OBJECT = 0.1


def nearest_cells(usable: Cells) -> NDArray[np.int32]:
    """Row and column `int32 [2, h, w]` of the usable cell that is nearest to each cell."""
    distances = (_ROW_DISTANCE, 1.0)
    found: NDArray[np.int32] = distance_transform_edt(
        ~usable, sampling=distances, return_distances=False, return_indices=True
    )
    return found


def plain_cells(scene: Scene, mask: NDArray[np.bool_], classes: Collection[int] | None) -> Cells:
    """Cells without an object, an ignored pixel, or a pixel of the classes of the object that a mask covers."""
    plain = ~mask
    if scene.label is not None:
        if classes is None:
            # A few pixels at the edge of an object often have the class of what surrounds it.
            ids, counts = np.unique(scene.label[mask], return_counts=True)
            classes = ids[counts >= _SHARE_OF_OBJECT * counts.sum()].tolist()
        plain &= ~np.isin(scene.label, list(classes)) & (scene.label != scene.ignore_index)
    if scene.instances is not None:
        plain &= scene.instances == 0
    return cells_of(plain, 1.0)


def pure_cells(scene: Scene) -> Cells:
    """Cells of one class; all of them in a scene without a label."""
    if scene.label is None:
        return np.ones(scene.grid, np.bool_)
    blocks = in_blocks(scene.label)
    pure: Cells = blocks.min(axis=(1, 3)) == blocks.max(axis=(1, 3))
    return pure


def class_around(scene: Scene, hole: Cells, plain: Cells) -> int:
    """The most frequent class in the plain cells around a hole, or else in all of them."""
    label = require_label(scene)
    ring = np.zeros_like(hole)
    padded = np.pad(hole, 1)
    height, width = hole.shape
    for down in range(3):
        for right in range(3):
            ring |= padded[down : down + height, right : right + width]
    for cells in (ring & ~hole, ~hole):
        pixels = pixels_of(cells & plain)
        if pixels.any():
            return int(np.bincount(label[pixels]).argmax())
    raise UserError(f"{scene.sources[0]}: no class without objects is left to fill the place of the object with")
