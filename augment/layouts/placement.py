"""Where an object of one scene can stand in another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from augment.layouts.objects import require_label
from augment.layouts.scene import cells_of
from augment.stride import STRIDE

if TYPE_CHECKING:
    from augment.layouts.objects import SceneObject
    from augment.layouts.scene import Cells, Scene

# Least share of the pixels under an object that must be the ground that it stands on.
_ON_GROUND = 0.5
# Least share of an object's cells that nothing nearer may cover.
_VISIBLE = 0.5


def places_in_row(scene: Scene, donor: Scene, one: SceneObject, cover: float, behind: Cells) -> list[int]:
    """How far to the right, in pixels, an object can move to stand in another scene, at the height of its own.

    All its cells stay inside the scene, at least half of them are not `behind` something, and at least half of the
    pixels under it have the class that is under it in its own image, if one is known.

    Args:
        scene: to place the object in.
        donor: with the object; of the same grid.
        one: the object.
        cover: see `augment.layouts.editing.paste`.
        behind: cells of the scene that stay in front, `bool [h, w]`.

    Raises:
        UserError: a scene has no label.
    """
    rows, columns = np.nonzero(cells_of(one.mask, cover))
    if not columns.size:
        return []
    label, width = require_label(scene), scene.grid[1]
    bottom = int(np.flatnonzero(one.mask.any(axis=1))[-1])
    under = slice(bottom + 1, bottom + 1 + STRIDE)
    feet = np.flatnonzero(one.mask[max(0, bottom + 1 - STRIDE) : bottom + 1].any(axis=0))
    below = require_label(donor)[under, feet]
    ids = below[(below != donor.ignore_index) & (below != one.train_id)]
    ground = int(np.bincount(ids).argmax()) if ids.size else None
    found = []
    for shift in range(-int(columns.min()), width - int(columns.max())):
        if behind[rows, columns + shift].mean() > 1 - _VISIBLE:
            continue
        across = feet + STRIDE * shift
        across = across[(across >= 0) & (across < label.shape[1])]
        if ground is None or (across.size and (label[under, across] == ground).mean() >= _ON_GROUND):
            found.append(STRIDE * shift)
    return found


def nearer_cells(scene: Scene, one: SceneObject) -> Cells:
    """The cells `bool [h, w]` of instances that stand lower in the scene than an object, and so in front of it."""
    nearer = np.zeros(scene.grid, np.bool_)
    if scene.instances is None:
        return nearer
    bottom = int(np.flatnonzero(one.mask.any(axis=1))[-1])
    in_front = np.unique(scene.instances[bottom + 1 :])
    return cells_of(np.isin(scene.instances, in_front[in_front > 0]), 0.5)
