"""The objects of a scene: by their instances, or by connected pixels of one class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from scipy.ndimage import find_objects

from augment.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from augment.layouts.scene import Scene


@dataclass(frozen=True, eq=False)
class SceneObject:
    """An object of a scene.

    Attributes:
        train_id: its class, that of most of its labelled pixels.
        number: its instance; or -n, the n-th connected region of the class among pixels without an instance.
        mask: its pixels, `bool [H, W]`.
        area: number of them.
    """

    train_id: int
    number: int
    mask: NDArray[np.bool_]
    area: int


@dataclass(frozen=True)
class InstanceBox:
    """The smallest rectangle around an instance, in pixels, and the class of most of its labelled pixels."""

    instance: int
    train_id: int
    left: int
    top: int
    width: int
    height: int


def find_scene_objects(scene: Scene, train_ids: Collection[int], min_area: int = 1) -> list[SceneObject]:
    """The objects of some classes with at least `min_area` pixels, in an order that depends on the scene alone.

    An instance is one object. Pixels of a class without an instance (in a scene without instances, all of them) give
    one object for each region that is connected, by sides or corners.

    Raises:
        UserError: the scene has no label.
    """
    return list(_scene_objects(scene, train_ids, min_area))


def _scene_objects(scene: Scene, train_ids: Collection[int], min_area: int) -> Iterator[SceneObject]:
    # One by one: a mask is as large as the image, and a class may have thousands of small regions.
    label, instances = require_label(scene), scene.instances
    for box in instance_boxes(scene):
        if box.train_id in train_ids:
            assert instances is not None
            mask = instances == box.instance
            if (area := int(mask.sum())) >= min_area:
                yield SceneObject(box.train_id, box.instance, mask, area)
    for train_id in sorted(train_ids):
        region = label == train_id
        if instances is not None:
            region &= instances == 0
        if not region.any():
            continue
        _, components, boxes, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=8)
        for number, area in enumerate(boxes[:, cv2.CC_STAT_AREA].tolist()):
            # The first component is the background.
            if number and area >= min_area:
                yield SceneObject(train_id, -number, components == number, area)


def find_scene_object(scene: Scene, train_id: int, number: int) -> SceneObject:
    """One object by class and number; see `SceneObject`.

    Raises:
        UserError: the scene has no such object.
    """
    for one in _scene_objects(scene, (train_id,), 1):
        if one.number == number:
            return one
    raise UserError(f"{scene.sources[0]} has no object {number} of class {train_id}")


def instance_boxes(scene: Scene) -> list[InstanceBox]:
    """The boxes of all instances by ascending number; none without instances, or for one that is ignored whole.

    Raises:
        UserError: the scene has instances and no label.
    """
    instances = scene.instances
    if instances is None:
        return []
    label = require_label(scene)
    boxes = []
    for number, place in enumerate(find_objects(instances.astype(np.int32)), start=1):
        if place is None:
            continue
        ids = label[place][instances[place] == number]
        known = ids[ids != scene.ignore_index]
        if known.size:
            rows, columns = place
            size = columns.stop - columns.start, rows.stop - rows.start
            boxes.append(InstanceBox(number, int(np.bincount(known).argmax()), columns.start, rows.start, *size))
    return boxes


def require_label(scene: Scene) -> NDArray[np.unsignedinteger]:
    """The label of a scene; UserError if it has none."""
    if scene.label is None:
        raise UserError(f"{scene.sources[0]} has no label, by which its objects would be found: give one")
    return scene.label
