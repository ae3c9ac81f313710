"""The segments of COCO's panoptic format: one for each object of an image, and one for the rest of each class."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from pipeline.taxonomies import Taxonomy


@dataclass(frozen=True)
class ImageSegment:
    """Pixels of one class, and of one object where ``instance`` is not 0.

    ``id`` is its value in the segment map, from 1; ``area`` counts pixels; ``box`` is left, top, width, height.
    """

    id: int
    train_id: int
    instance: int
    area: int
    box: tuple[int, int, int, int]


def find_segments(
    label: NDArray[np.unsignedinteger],
    instances: NDArray[np.uint16] | None,
    taxonomy: Taxonomy,
    things: Iterable[str],
) -> tuple[NDArray[np.int32], list[ImageSegment]]:
    """The segment of every pixel, int32 [H, W] with 0 where it is ignored, and the segments in the order of their ids.

    Takes train ids [H, W] and the number of each pixel's object [H, W], 0 for none. Only objects of ``things`` get
    segments of their own.
    """
    is_thing = np.zeros(taxonomy.ignore_index + 1, np.bool_)
    is_thing[[taxonomy.classes.index(name) for name in things]] = True
    codes = label.astype(np.uint32) << 16
    if instances is not None:
        codes |= np.where(is_thing[label], instances, 0)
    ids = np.zeros(label.shape, np.int32)
    known = label != taxonomy.ignore_index
    found, which = unique_runs(codes[known])
    ids[known] = which + 1
    areas = np.bincount(ids.ravel(), minlength=len(found) + 1)
    segments = []
    for number, (code, place) in enumerate(zip(found.tolist(), find_objects(ids), strict=True), start=1):
        rows, columns = place
        box = columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
        segments.append(ImageSegment(number, code >> 16, code & 0xFFFF, int(areas[number]), box))
    return ids, segments


def unique_runs(values: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    """The sorted distinct values of [N], and their indices for each of N; sorts only one value of each run."""
    starts = np.flatnonzero(np.diff(values, prepend=~values[:1]))
    found, which = np.unique(values[starts], return_inverse=True)
    return found, np.repeat(which, np.diff(starts, append=len(values)))


def to_colors(ids: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Segment ids [H, W] below 2**24 as colours, uint8 [H, W, 3]: id = R + 256 G + 65536 B."""
    return ids.astype("<i4", order="C").view(np.uint8).reshape(*ids.shape, 4)[..., :3]
