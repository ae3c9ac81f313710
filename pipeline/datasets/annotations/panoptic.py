"""COCO's panoptic format: labels with numbers of segments, and JSON that describes the segments."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError
from pipeline.datasets.annotations.coco_json import Category, ImageId, Listed
from pipeline.datasets.files.tree import enumerate_some
from pipeline.datasets.record import Label, RecordError, one_line
from pipeline.taxonomies import TAXONOMIES, Taxonomy, taxonomy_of_classes
from pipeline.taxonomies.taxonomy import IGNORE_8_BIT, Color

# Name of a taxonomy of other classes than those of known ones.
NAME = "coco"
# The value of pixels of no segment.
VOID = 0
MAX_OBJECTS = 65535


class PanopticCategory(Category):
    """A category; its segments are single objects if it ``isthing``."""

    isthing: int | bool = 0
    color: Color | None = None


class Categories(msgspec.Struct):
    """Only the categories of a panoptic file."""

    categories: list[PanopticCategory]


class Segment(msgspec.Struct, gc=False):
    """Pixels of one category; exports of stores give the object's number in the sample in ``instance_number``."""

    id: Annotated[int, msgspec.Meta(gt=VOID, lt=1 << 24)]
    category_id: int
    iscrowd: int | bool = 0
    instance_number: Annotated[int, msgspec.Meta(ge=1, le=MAX_OBJECTS)] | None = None


class SegmentMap(msgspec.Struct):
    """The file with the segments of an image, and their description."""

    image_id: ImageId
    file_name: str
    segments_info: list[Segment]


class Panoptic(Listed):
    """A panoptic file; an image without a segment map has no label."""

    annotations: list[SegmentMap]
    categories: list[PanopticCategory]


def in_order(categories: Iterable[PanopticCategory]) -> list[PanopticCategory]:
    """The categories sorted by id; the index of each is its train id."""
    return sorted(categories, key=lambda category: category.id)


def taxonomy_of_categories(categories: Sequence[PanopticCategory], where: str) -> Taxonomy:
    """The taxonomy of these ordered categories, in their colours.

    Returns the known taxonomy of exactly these classes if there is one. Raises UserError naming a contradictory file.
    """
    classes = tuple(category.name for category in categories)
    if not categories or len({category.id for category in categories}) < len(categories):
        raise UserError(f"{where}: expected categories with an id of their own each, found {len(categories)} in all")
    if known := next((known for known in TAXONOMIES.values() if known.classes == classes), None):
        return known
    try:
        plain = taxonomy_of_classes(NAME, classes, [category.name for category in categories if category.isthing])
        colors = zip(categories, plain.palette, strict=True)
        return replace(plain, palette=tuple(category.color or color for category, color in colors))
    except ValueError as error:
        raise UserError(f"{where}: {one_line(error)}") from error


@dataclass(frozen=True)
class Legend:
    """Meaning of segments: the train id of each category, and the categories that are things."""

    train_ids: Mapping[int, int]
    things: Collection[int]
    ignore_index: int

    @classmethod
    def of(cls, categories: Sequence[PanopticCategory], taxonomy: Taxonomy) -> Legend:
        """The legend of these categories, in the order of the taxonomy's classes."""
        train_ids = {category.id: train_id for train_id, category in enumerate(categories)}
        things = frozenset(category.id for category in categories if category.isthing)
        return cls(train_ids, things, taxonomy.ignore_index)

    def is_object(self, segment: Segment) -> bool:
        """Whether the segment is one object, and not stuff or a crowd of things."""
        return segment.category_id in self.things and not segment.iscrowd

    def describe(self, segments: Sequence[Segment]) -> str:
        """The meaning of the values in a segment map, as text in a record, for ``decode_segments``.

        Three whole numbers for each value: the value, its train id, and the number of its object, 0 for none. The first
        value is that of no segment, with the ignore index. Objects have the stated numbers, else count from 1 in the
        order of their ids. Raises KeyError for an unknown category.
        """
        objects = sorted(filter(self.is_object, segments), key=lambda found: found.id)
        numbers = {found.id: found.instance_number or place for place, found in enumerate(objects, start=1)}
        rows = [(found.id, self.train_ids[found.category_id], numbers.get(found.id, 0)) for found in segments]
        return " ".join(
            f"{value} {train_id} {number}" for value, train_id, number in [(VOID, self.ignore_index, 0), *rows]
        )


def decode_segments(colors: NDArray[np.uint8], legend: str, where: str) -> tuple[Label, NDArray[np.uint16]]:
    """Train ids [H, W], uint8 or uint16, and objects uint16 [H, W] of a segment map, RGB uint8 [H, W, 3].

    A value is R + 256 G + 65536 B, and ``legend`` the text of `Legend.describe`. Raises RecordError naming the file and
    every value that the legend lacks or has twice.
    """
    rows = np.array([int(number) for number in legend.split()]).reshape(-1, 3)
    dtype = np.uint8 if rows[0, 1] == IGNORE_8_BIT else np.uint16
    if rows[:, 2].max() > MAX_OBJECTS:
        raise RecordError(f"too many objects: {where} has {rows[:, 2].max()}: expected at most {MAX_OBJECTS}")
    rows = rows[np.argsort(rows[:, 0])]
    if len(twice := rows[1:, 0][np.diff(rows[:, 0]) == 0]):
        raise RecordError(f"ambiguous segment id: {where} has several segments of the id {_some(twice)}")
    red, green, blue = np.moveaxis(colors.astype(np.uint32), -1, 0)
    values = red | green << 8 | blue << 16
    places = np.minimum(np.searchsorted(rows[:, 0], values), len(rows) - 1)
    unknown = values[rows[places, 0] != values]
    if unknown.size:
        raise RecordError(
            f"unknown segment id: {where} has {_some(np.unique(unknown))} ({unknown.size} pixels): expected {VOID} "
            f"or the id of one of its {len(rows) - 1} segments"
        )
    return rows[:, 1].astype(dtype)[places], rows[:, 2].astype(np.uint16)[places]


def _some(values: NDArray[np.integer]) -> str:
    return enumerate_some([str(value) for value in values])
