"""An object is placed at the height of its own, on the ground that it stood on, inside the scene and in sight."""

from __future__ import annotations

import numpy as np

from augment.layouts.objects import SceneObject, find_scene_object
from augment.layouts.placement import nearer_cells, places_in_row
from augment.layouts.scene import Scene

SKY, ROAD, GRASS, CAR = range(4)
GRID = (4, 8)


def scene(key: str, road: slice, car: tuple[int, int] | None = None) -> Scene:
    """Sky above grass with a piece of road; a car of 16 x 16 pixels with its lower edge and left edge at `car`."""
    label = np.full((32, 64), SKY, np.uint8)
    label[16:] = GRASS
    label[16:, road] = ROAD
    instances = np.zeros((32, 64), np.uint16)
    if car is not None:
        place = slice(car[0] - 16, car[0]), slice(car[1], car[1] + 16)
        label[place], instances[place] = CAR, 5
    return Scene.of(key, np.zeros((2, *GRID), np.float16), label, instances)


def places(target: Scene, donor: Scene) -> list[int]:
    one = find_scene_object(donor, CAR, 5)
    return places_in_row(target, donor, one, 0.5, nearer_cells(target, one))


def test_object_stands_on_the_ground_of_its_own_image() -> None:
    donor = scene("b", slice(0, 64), car=(24, 16))
    assert places(scene("a", slice(32, 64)), donor) == [8, 16, 24, 32]
    assert places(scene("a", slice(0, 0)), donor) == []


def test_object_at_the_lower_edge_stands_anywhere_inside() -> None:
    donor = scene("b", slice(0, 64), car=(32, 16))
    assert places(scene("a", slice(0, 0)), donor) == [-16, -8, 0, 8, 16, 24, 32]


def test_object_that_a_nearer_one_would_hide_is_not_placed_there() -> None:
    donor = scene("b", slice(0, 64), car=(24, 16))
    # A car whose lower edge is lower is nearer, and covers a part of the row.
    target = scene("a", slice(0, 64), car=(32, 32))
    one = find_scene_object(donor, CAR, 5)
    nearer = nearer_cells(target, one)
    assert np.argwhere(nearer).tolist() == [[2, 4], [2, 5], [3, 4], [3, 5]]
    # Half of its cells may be hidden, so it may stand anywhere behind; but the class under it must be its ground.
    assert places(target, donor) == [-16, -8, 0, 8, 24, 32]
    further = scene("a", slice(0, 64), car=(16, 32))
    assert not nearer_cells(further, one).any()


def test_scene_without_instances_has_nothing_nearer() -> None:
    plain = Scene.of("a", np.zeros((2, *GRID), np.float16), np.zeros((32, 64), np.uint8))
    mask = np.zeros((32, 64), np.bool_)
    mask[8:16, 8:16] = True
    assert not nearer_cells(plain, SceneObject(CAR, -1, mask, 64)).any()
