"""Copying cells from one scene to another, with all that belongs to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from augment.errors import UserError
from augment.layouts.scene import PROTOTYPE, Scene, Writing, cells_of, in_blocks
from augment.stride import STRIDE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from augment.layouts.scene import Cells


def copy_cells(
    scene: Scene,
    donor: Scene,
    cells: Cells,
    down: int,
    right: int,
    kept_ids: Mapping[int, int] | None = None,
    kept: Cells | None = None,
) -> Scene:
    """Copy cells of a donor into a scene, with all that belongs to them; the scene itself if no cell ends inside it.

    Args:
        scene: to copy into.
        donor: to copy from.
        cells: of the donor, `bool [h, w]`.
        down, right: rows and columns that they move.
        kept_ids: new numbers of some of the donor's instances; all others get numbers that the scene does not have.
        kept: cells of the scene that are not overwritten, `bool [h, w]`.

    Raises:
        UserError: the scenes do not fit, or there are more than 65535 instances.
    """
    scene.require_like(donor)
    rows, columns = np.nonzero(cells)
    height, width = scene.grid
    inside = (rows + down >= 0) & (rows + down < height) & (columns + right >= 0) & (columns + right < width)
    rows, columns = rows[inside], columns[inside]
    if kept is not None:
        free = ~kept[rows + down, columns + right]
        rows, columns = rows[free], columns[free]
    if not rows.size:
        return scene
    sources = (*scene.sources, *(key for key in donor.sources if key not in scene.sources))
    # The last index stands for the prototypes, whose source is -1.
    renamed = np.array([*(sources.index(key) for key in donor.sources), PROTOTYPE], np.int32)
    origin = donor.origin.copy()
    origin[..., 0] = renamed[origin[..., 0]]
    ids = dict(kept_ids or {})
    if donor.instances is not None:
        copied = np.unique(in_blocks(donor.instances)[rows, :, columns, :])
        others = [int(number) for number in copied if number and int(number) not in ids]
        ids |= dict(zip(others, _free_numbers(scene, donor, len(others), ids), strict=True))
    writing = Writing.to(scene)
    write_cells(writing, donor, (rows, columns), (rows + down, columns + right), origin, ids)
    return writing.of(scene, sources)


def require_cells(scene: Scene, mask: NDArray[np.bool_], cover: float) -> Cells:
    """The cells that an object covers; UserError if there is none, or the mask is not of the scene's size."""
    size = tuple(side * STRIDE for side in scene.grid)
    if mask.shape != size:
        raise UserError(f"a mask of {mask.shape} pixels does not fit {scene.sources[0]} of {size}")
    cells = cells_of(mask, cover)
    if not cells.any():
        raise UserError(
            f"the object of {scene.sources[0]}, {int(mask.sum())} pixels, covers {cover:g} of no cell of "
            f"{STRIDE}x{STRIDE}: take a larger object, or a smaller cover"
        )
    return cells


def write_cells(
    writing: Writing,
    donor: Scene,
    places: tuple[NDArray[np.intp], NDArray[np.intp]],
    targets: tuple[NDArray[np.intp], NDArray[np.intp]],
    origin: NDArray[np.int32],
    ids: Mapping[int, int],
) -> None:
    """Copy the cells at some places of a donor, all that belongs to them, to the targets; instances get new ids."""
    (rows, columns), (down, across) = places, targets
    writing.layout[:, down, across] = donor.layout[:, rows, columns]
    writing.origin[down, across] = origin[rows, columns]
    writing.mixed[down, across] = donor.mixed[rows, columns]
    if writing.label is not None and donor.label is not None:
        in_blocks(writing.label)[down, :, across, :] = in_blocks(donor.label)[rows, :, columns, :]
    if writing.instances is not None and donor.instances is not None:
        table = np.arange(int(donor.instances.max()) + 1, dtype=np.uint16)
        for old, new in ids.items():
            table[old] = new
        in_blocks(writing.instances)[down, :, across, :] = table[in_blocks(donor.instances)[rows, :, columns, :]]


def in_cells(pixels: int) -> int:
    """A distance in cells; UserError unless it is a whole number of them."""
    if pixels % STRIDE:
        raise UserError(f"a distance of {pixels} pixels is not a multiple of {STRIDE}, the side of a layout cell")
    return pixels // STRIDE


def numbers_in(scene: Scene) -> set[int]:
    """The numbers of the instances in a scene."""
    return set() if scene.instances is None else set(np.unique(scene.instances).tolist()) - {0}


def _free_numbers(scene: Scene, donor: Scene, count: int, ids: Mapping[int, int]) -> list[int]:
    used = numbers_in(scene) | set(ids.values())
    free = [number for number in range(1, 1 + len(used) + count) if number not in used][:count]
    if free and free[-1] > np.iinfo(np.uint16).max:
        raise UserError(f"{scene.sources[0]} and the copy of {donor.sources[0]} have more than 65535 instances")
    return free
