"""COCO's masks of objects, polygons or run lengths, rasterised into one label map by pycocotools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from pipeline.datasets.annotations.object_numbers import number_codes
from pipeline.datasets.files.decoding import Decoding, check_size
from pipeline.datasets.record import Label, RecordError
from pipeline.taxonomies.taxonomy import IGNORE_8_BIT

# Coordinates this many image sizes away crash the rasteriser, and are mistakes.
_MOST_OUTSIDE = 16
# Least count of coordinates in a polygon that has an area.
_LEAST_NUMBERS = 6
_SIDES = 4


class ObjectMask(msgspec.Struct, array_like=True):
    """An object: its train id, whether it is one object and no crowd, its mask in COCO's form, and its box.

    The box is left, top, width and height in pixels, or empty. It is used if the mask is null: its pixels are ignored.
    """

    train_id: int
    is_object: bool
    segmentation: msgspec.Raw
    box: list[float]


class ImageMasks(msgspec.Struct, array_like=True):
    """The masks of an image of ``height`` x ``width`` pixels.

    ``uncovered`` is the train id of pixels that no object covers, and ``ignore_index`` that of pixels without a class.
    """

    height: int
    width: int
    uncovered: int
    ignore_index: int
    objects: list[ObjectMask]


def rasterize(legend: str, where: str, decoding: Decoding) -> tuple[Label, NDArray[np.uint16]]:
    """Train ids [H, W], uint8 or uint16, and objects uint16 [H, W] of the JSON text of `ImageMasks`.

    Larger objects come first, so that small ones stay on top; of equal ones the later covers the earlier. Objects that
    are not crowds are numbered from 1 in the order of the file, without those that others cover completely. Raises
    RecordError, naming ``where`` the text is from, for a mask that does not fit the image, and for an image above
    ``max_pixels``.
    """
    masks = msgspec.json.decode(legend, type=ImageMasks)
    check_size(masks.width, masks.height, where, "label", decoding)
    dtype = np.uint8 if masks.ignore_index == IGNORE_8_BIT else np.uint16
    shape = masks.height, masks.width
    label: NDArray[Any] = np.full(shape, masks.uncovered, dtype)
    codes = np.zeros(shape, np.uint32)
    sized: list[tuple[int, int, ObjectMask, dict[str, Any]]] = []
    for place, found in enumerate(masks.objects, start=1):
        encoded = _run_lengths(found, shape, where)
        if encoded is not None:
            sized.append((int(coco_mask.area(encoded)), place, found, encoded))
        elif len(found.box) == _SIDES:
            label[_within(found.box)] = masks.ignore_index
    for _, place, found, encoded in sorted(sized, key=lambda item: -item[0]):
        inside = coco_mask.decode(encoded).astype(np.bool_)
        label[inside] = found.train_id
        codes[inside] = place if found.is_object else 0
    return label, number_codes(codes)


def _run_lengths(found: ObjectMask, shape: tuple[int, int], where: str) -> dict[str, Any] | None:
    """The mask of an object as pycocotools encodes it; None if it has none."""
    height, width = shape
    segmentation = msgspec.json.decode(found.segmentation) if bytes(found.segmentation) else None
    try:
        if isinstance(segmentation, dict):
            counts = _counts(segmentation, shape)
            return coco_mask.frPyObjects({"size": list(shape), "counts": counts}, height, width)
        polygons = [polygon for polygon in _polygons(segmentation, shape) if len(polygon) >= _LEAST_NUMBERS]
    except ValueError as error:
        raise RecordError(f"broken mask: {where}: {error}") from error
    return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)) if polygons else None


def _polygons(segmentation: Any, shape: tuple[int, int]) -> list[list[float]]:
    """Polygons as lists of alternating x and y; ValueError for other content, and far outside of the image."""
    parts = segmentation or []
    if isinstance(parts, list) and parts and all(isinstance(number, (int, float)) for number in parts):
        # Some tools omit the outer list of a single polygon.
        parts = [parts]
    if not isinstance(parts, list) or not all(isinstance(part, list) for part in parts):
        raise ValueError("a segmentation is neither a list of polygons nor an object with counts and size")
    most = _MOST_OUTSIDE * max(shape)
    for part in parts:
        if len(part) % 2 or not all(isinstance(number, (int, float)) for number in part):
            raise ValueError(f"a polygon of {len(part)} values: expected numbers, x and y in turn")
        if part and max(map(abs, part)) > most:
            raise ValueError(
                f"a polygon's corner at {max(part, key=abs):g} in an image of {shape[1]}x{shape[0]} pixels"
            )
    return [[float(number) for number in part] for part in parts]


def _counts(segmentation: dict[str, Any], shape: tuple[int, int]) -> list[int]:
    """The run lengths of a mask; ValueError if they do not fit an image of this shape."""
    if list(segmentation.get("size") or ()) != list(shape):
        raise ValueError(f"a mask of size {segmentation.get('size')}: expected the image's, {list(shape)}")
    counts = segmentation.get("counts")
    lengths = _decoded(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list) or not all(isinstance(length, int) and length >= 0 for length in lengths):
        raise ValueError("a mask's counts are no run lengths")
    # pycocotools leaves pixels uninitialised if the runs end too early.
    if sum(lengths) != shape[0] * shape[1]:
        raise ValueError(f"a mask's run lengths add up to {sum(lengths)}: expected {shape[0] * shape[1]} pixels")
    return lengths


def _decoded(text: str) -> list[int]:
    """Run lengths in COCO's compressed form: 5 bits a character, each length minus the one two before it."""
    lengths: list[int] = []
    value = shift = 0
    for character in text.encode():
        bits = character - 48
        if not 0 <= bits < 64:
            raise ValueError("a mask's counts are no run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("a mask's counts end in the middle")
    return lengths


def _within(box: Sequence[float]) -> tuple[slice, slice]:
    left, top, width, height = box
    rows = slice(max(int(top), 0), max(int(np.ceil(top + height)), 0))
    return rows, slice(max(int(left), 0), max(int(np.ceil(left + width)), 0))
