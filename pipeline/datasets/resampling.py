"""Bringing an image and its annotations to the working size."""

from __future__ import annotations

import math
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from augment.errors import UserError
from pipeline.datasets.files.decoding import MAX_PIXELS
from pipeline.datasets.geometry import Geometry, Region, Resample, View
from pipeline.datasets.record import Box, Frame, Size

Ids = TypeVar("Ids", NDArray[np.uint8], NDArray[np.uint16], NDArray[np.unsignedinteger])

Box4 = tuple[float, float, float, float]

# Images with more values are not copied whole for each tile; by default dataset.max_pixels excludes them.
_LARGE = 3 * MAX_PIXELS
# ImageNet's mean colour. Backbones subtract it, so that the bars of a letterbox are zero for them.
PADDING = (124, 116, 104)


def show(frame: Frame, view: View, geometry: Geometry, ignore_index: int | None = None) -> Frame:
    """Bring the part of an image and its annotations that a view shows to the working size.

    Outside the view's content the image has the mean colour of ImageNet, the instance map 0 and the label
    ``ignore_index``; None is the highest value of its dtype, as in every taxonomy. Boxes are clipped at the edges
    of the region; those with less than a pixel left are dropped. Raises UserError where an annotation has another size
    than the image.
    """
    _check_sizes(frame)
    region, content, shape = view.region, view.content, geometry.shape
    image = resize_image(frame.image, region, (content.height, content.width), geometry.resample, frame.reduction)
    label = None if frame.label is None else resize_label(frame.label, region, content)
    if label is not None:
        highest = np.iinfo(label.dtype).max
        label = padded(label, content, shape, int(highest) if ignore_index is None else ignore_index)
    instances = None if frame.instances is None else resize_label(frame.instances, region, content)
    return Frame(
        padded(image, content, shape, PADDING),
        label,
        None if instances is None else padded(instances, content, shape, 0),
        tuple(moved for box in frame.boxes if (moved := moved_box(box, region, content))),
    )


def resize_frame(frame: Frame, geometry: Geometry) -> Frame:
    """Bring a whole frame to the working size, whatever the geometry's mode; see ``show``."""
    (height, width), whole = frame.full_size, Region(0, 0, geometry.width, geometry.height)
    return show(frame, View("", Region(0, 0, width, height), whole), geometry)


def resize_image(
    image: NDArray[np.uint8], region: Region, shape: Size, resample: Resample = "bilinear", reduction: int = 1
) -> NDArray[np.uint8]:
    """Resize a region of uint8 [H, W, 3] to ``shape`` (height, width); pixel centres are aligned.

    ``bilinear`` is a triangle filter that widens as the image shrinks, so nothing aliases. ``area`` is the mean of the
    source pixels that a target pixel covers, parts of pixels counted as such; where a side is enlarged it is bilinear.
    The region is in pixels of the file; a pixel of ``image`` covers ``reduction`` x ``reduction`` of them.
    """
    height, width = shape
    right, bottom = region.left + region.width, region.top + region.height
    if reduction == 1:
        cut = np.ascontiguousarray(image[region.top : bottom, region.left : right])
        if cut.shape[:2] == shape:
            return cut
        if resample == "area" and region.height >= height and region.width >= width:
            return np.asarray(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    box = (region.left / reduction, region.top / reduction, right / reduction, bottom / reduction)
    # Pillow copies its whole input, for each tile of a large image.
    near, within = around(image, box, shape) if image.size > _LARGE else (image, box)
    return np.asarray(Image.fromarray(near).resize((width, height), Image.Resampling.BILINEAR, within))


def around(image: NDArray[np.uint8], box: Box4, shape: Size) -> tuple[NDArray[np.uint8], Box4]:
    """The part of an image that the filter reads to resize ``box`` (left, top, right, bottom) to ``shape``.

    Returns that part, and the box in it. Pillow chooses the order of its two passes by the size of its input, so that
    values may differ by one from those of the whole image.
    """
    across, down = (math.ceil(abs(box[i + 2] - box[i]) / side) + 1 for i, side in enumerate(reversed(shape)))
    left, top = max(0, int(box[0]) - across), max(0, int(box[1]) - down)
    near = image[top : math.ceil(box[3]) + down, left : math.ceil(box[2]) + across]
    return near, (box[0] - left, box[1] - top, box[2] - left, box[3] - top)


def resize_label(label: Ids, region: Region, shape: Region) -> Ids:
    """Resize a region of ids [H, W] to the size of another by reading the pixel that holds each target's centre."""
    rows = region.top + _centres(region.height, shape.height)
    columns = region.left + _centres(region.width, shape.width)
    return label[rows[:, None], columns]


def _centres(source: int, target: int) -> NDArray[np.intp]:
    # floor((i + 1/2) * source / target), in integers: the same on every machine.
    return (2 * np.arange(target) + 1) * source // (2 * target)


def padded(array: Ids, content: Region, shape: Size, value: int | tuple[int, ...]) -> Ids:
    """An array of ``shape`` (height, width) with ``array`` at ``content`` and ``value`` elsewhere."""
    if array.shape[:2] == shape:
        return array
    whole = np.empty((*shape, *array.shape[2:]), array.dtype)
    whole[:] = value
    whole[content.top : content.top + content.height, content.left : content.left + content.width] = array
    return whole


def moved_box(box: Box, region: Region, content: Region) -> Box | None:
    """A box in pixels of the sample, clipped at the region; None if less than a pixel's area is left."""
    across, down = content.width / region.width, content.height / region.height
    left = (max(box.left - region.left, 0)) * across
    top = (max(box.top - region.top, 0)) * down
    right = min(box.left + box.width - region.left, region.width) * across
    bottom = min(box.top + box.height - region.top, region.height) * down
    if right <= left or bottom <= top or (right - left) * (bottom - top) < 1:
        return None
    return Box(box.category, content.left + left, content.top + top, right - left, bottom - top)


def _check_sizes(frame: Frame) -> None:
    height, width = frame.full_size
    for name, annotation in (("label", frame.label), ("instance map", frame.instances)):
        if annotation is not None and annotation.shape != (height, width):
            raise UserError(
                f"the image is {height}x{width} pixels (height x width) but its {name} is "
                f"{annotation.shape[0]}x{annotation.shape[1]}: they must have one size"
            )
