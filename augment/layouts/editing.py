"""Edits of a layout and its labels: paste, move and remove an object, blend two scenes, fill with a class.

Every edit works on whole cells and keeps the invariant of `Scene`: layout, label and instances of a cell have one
source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from augment.errors import UserError
from augment.layouts.copying import copy_cells, in_cells, numbers_in, require_cells, write_cells
from augment.layouts.filling import class_around, nearest_cells, plain_cells, pure_cells
from augment.layouts.objects import require_label
from augment.layouts.scene import PROTOTYPE, Scene, Writing, cells_of, pixels_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from augment.layouts.prototypes import ClassPrototypes
    from augment.layouts.scene import Cells

# A cell belongs to an object that covers this share of it or more.
COVER = 0.5


def paste(
    scene: Scene,
    donor: Scene,
    mask: NDArray[np.bool_],
    right: int = 0,
    down: int = 0,
    cover: float = COVER,
    behind: Cells | None = None,
) -> Scene:
    """Copy the cells of an object of another scene over those of this one.

    Instances that are copied get new numbers. Layouts encode the height in the image, so an object that moves up or
    down keeps the perspective of its old place: prefer `down` = 0.

    Args:
        scene: to paste on.
        donor: with the object.
        mask: the object's pixels in the donor, `bool [H, W]`.
        right, down: how far the object moves, in pixels; multiples of 8. Cells that leave the scene are left out.
        cover: least share of a cell, above 0 to 1, that the object must cover for the cell to be copied.
        behind: cells of the scene that stay in front, `bool [h, w]`.

    Raises:
        UserError: a distance is not a multiple of 8, the object covers no cell, or none that ends inside the scene; or
            the scenes do not fit; see `Scene.require_like`.
    """
    cells = require_cells(donor, mask, cover)
    edited = copy_cells(scene, donor, cells, in_cells(down), in_cells(right), kept=behind)
    if edited is scene:
        raise UserError(f"no cell of the object of {donor.sources[0]} is visible at {right} right, {down} down")
    return edited


def move(
    scene: Scene,
    mask: NDArray[np.bool_],
    right: int,
    down: int = 0,
    cover: float = COVER,
    prototypes: ClassPrototypes | None = None,
    train_id: int | None = None,
) -> Scene:
    """Move an object, which keeps its number, and fill the place where it was; see `paste` and `remove`.

    Only the cells that the object covers move; what it has of other cells is removed.
    """
    cells = require_cells(scene, mask, cover)
    rest = remove(scene, mask, prototypes, train_id)
    of_object = set() if scene.instances is None else set(scene.instances[mask].tolist())
    kept_ids = {number: number for number in of_object - numbers_in(rest) - {0}}
    moved = copy_cells(rest, scene, cells, in_cells(down), in_cells(right), kept_ids)
    if moved is rest:
        raise UserError(f"the object of {scene.sources[0]} leaves the scene at {right} right, {down} down: remove it")
    return moved


def remove(
    scene: Scene,
    mask: NDArray[np.bool_],
    prototypes: ClassPrototypes | None = None,
    train_id: int | None = None,
    classes: Collection[int] | None = None,
) -> Scene:
    """Remove an object: every cell that it touches is filled, so that none of its pixels is left.

    With prototypes the cells become the class `train_id`, or the one that is most frequent around the object. Without,
    each becomes a copy of the nearest cell, along its row before others, that has no object, no ignored pixel, and no
    pixel of the object's classes; what surrounds the object closes over it. Cells of one class fill before those of
    several, which would repeat an edge.

    Args:
        scene: with the object.
        mask: its pixels, `bool [H, W]`.
        prototypes: of the dataset, or None.
        train_id: class to fill with; only with prototypes.
        classes: train ids of the object, which never fill its place; None takes those of a tenth of its pixels.

    Raises:
        UserError: the mask is empty, or there is nothing to fill with.
    """
    hole = require_cells(scene, mask, 0.0)
    plain = plain_cells(scene, mask, classes)
    if prototypes is not None:
        background = class_around(scene, hole, plain) if train_id is None else train_id
        return fill_with_class(scene, hole, background, prototypes)
    usable = plain & ~hole
    if not usable.any():
        raise UserError(f"{scene.sources[0]}: no cell without objects is left to fill the place of the object with")
    pure = usable & pure_cells(scene)
    rows, columns = nearest_cells(pure if pure.any() else usable)
    writing = Writing.to(scene)
    down, across = np.nonzero(hole)
    write_cells(writing, scene, (rows[hole], columns[hole]), (down, across), scene.origin, {})
    return writing.of(scene, scene.sources)


def blend(scene: Scene, other: Scene, weight: float = 0.5) -> Scene:
    """Mix the layout with another one, in the cells where both have the same label.

    These are the cells whose 64 pixels have the same classes in both, none of them ignored, and no object in either;
    the layout there is (1 - weight) x this one + weight x the other. All other cells stay as they are, since no label
    fits a mixture of two classes.

    Args:
        scene: the layout, labels and instances to keep.
        other: of the same grid.
        weight: 0..1, the share of the other layout.

    Raises:
        UserError: the weight is out of range, a scene has no label, or the scenes do not fit.
    """
    scene.require_like(other)
    if not 0 <= weight <= 1 or scene.grid != other.grid:
        raise UserError(f"weight = {weight}, grids {scene.grid} and {other.grid}: give 0..1 and layouts of one size")
    same = (require_label(scene) == require_label(other)) & (scene.label != scene.ignore_index)
    for one in (scene, other):
        if one.instances is not None:
            same &= one.instances == 0
    cells = cells_of(same, 1.0)
    writing = Writing.to(scene)
    parts = scene.layout[:, cells].astype(np.float32), other.layout[:, cells].astype(np.float32)
    writing.layout[:, cells] = (1 - weight) * parts[0] + weight * parts[1]
    writing.mixed[cells] = True
    return writing.of(scene, scene.sources)


def fill_with_class(scene: Scene, cells: Cells, train_id: int, prototypes: ClassPrototypes) -> Scene:
    """Make cells the prototype of a class: all their pixels get its label, and no object is left in them.

    Args:
        scene: to edit.
        cells: `bool [h, w]`.
        train_id: the class.
        prototypes: of layouts of the same grid and basis.

    Raises:
        UserError: the class has no prototype, or the prototypes are of another grid.
    """
    vectors = prototypes.of_class(train_id)
    if vectors.shape != (scene.grid[0], len(scene.layout)):
        raise UserError(
            f"prototypes of {vectors.shape[0]} rows and {vectors.shape[1]} components do not fit a layout of "
            f"{scene.grid[0]} and {len(scene.layout)}: compute them from layouts of the same size and basis"
        )
    rows, _ = np.nonzero(cells)
    writing = Writing.to(scene)
    writing.layout[:, cells] = vectors[rows].T
    writing.origin[cells] = np.stack([np.full_like(rows, PROTOTYPE), np.full_like(rows, train_id), rows], axis=1)
    writing.mixed[cells] = False
    pixels = pixels_of(cells)
    if writing.label is not None:
        writing.label[pixels] = train_id
    if writing.instances is not None:
        writing.instances[pixels] = 0
    return writing.of(scene, scene.sources)


def replace_class(scene: Scene, train_id: int, prototypes: ClassPrototypes) -> Scene:
    """Replace the region of a class by its prototype: the cells that hold nothing else, and no object.

    The label does not change.

    Raises:
        UserError: the scene has no label, or the class no prototype.
    """
    pixels = require_label(scene) == train_id
    if scene.instances is not None:
        pixels &= scene.instances == 0
    return fill_with_class(scene, cells_of(pixels, 1.0), train_id, prototypes)
