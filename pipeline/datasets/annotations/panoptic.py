"""COCO's panoptic format: labels whose pixels are numbers of segments, and the JSON that says what these are."""

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

# Of classes that no taxonomy is known to have.
NAME = "coco"
# The value of pixels of no segment.
VOID = 0
MAX_OBJECTS = 65535


class PanopticCategory(Category):
    """A category; objects are told apart where it ``isthing``."""

    isthing: int | bool = 0
    color: Color | None = None


class Categories(msgspec.Struct):
    """The categories of a panoptic file, alone."""

    categories: list[PanopticCategory]


class Segment(msgspec.Struct, gc=False):
    """Pixels of one category; exports of stores say in ``instance_number`` which object of the sample it is."""

    id: Annotated[int, msgspec.Meta(gt=VOID, lt=1 << 24)]
    category_id: int
    iscrowd: int | bool = 0
    instance_number: Annotated[int, msgspec.Meta(ge=1, le=MAX_OBJECTS)] | None = None


class SegmentMap(msgspec.Struct):
    """The file that has the segments of an image, and what they are."""

    image_id: ImageId
    file_name: str
    segments_info: list[Segment]


class Panoptic(Listed):
    """A panoptic file; an image that no segment map belongs to has no label."""

    annotations: list[SegmentMap]
    categories: list[PanopticCategory]


def in_order(categories: Iterable[PanopticCategory]) -> list[PanopticCategory]:
    """The categories sorted by id: the train id of each is its place."""
    return sorted(categories, key=lambda category: category.id)


def taxonomy_of_categories(categories: Sequence[PanopticCategory], where: str) -> Taxonomy:
    """The taxonomy of these categories, which are in order, in the colours that they have.

    One whose classes are these very ones is known by its name. Raises UserError naming the file for contradictions.
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
    """Says what the segments of any image are: the train id of each category, and which categories are things."""

    train_ids: Mapping[int, int]
    things: Collection[int]
    ignore_index: int

    @classmethod
    def of(cls, categories: Sequence[PanopticCategory], taxonomy: Taxonomy) -> Legend:
        """The legend of these categories, which are in order and the classes of the taxonomy."""
        train_ids = {category.id: train_id for train_id, category in enumerate(categories)}
        things = frozenset(category.id for category in categories if category.isthing)
        return cls(train_ids, things, taxonomy.ignore_index)

    def is_object(self, segment: Segment) -> bool:
        """Whether the segment is one object, and not stuff or a crowd of things."""
        return segment.category_id in self.things and not segment.iscrowd

    def describe(self, segments: Sequence[Segment]) -> str:
        """What the values of a segment map stand for, as text that travels with a record and that ``paint`` reads.

        Three whole numbers for each value: itself, its train id, and the number of its object, 0 where it is none.
        The first is that of no segment, whose train id is the ignore index. Objects have the numbers that are stated,
        and else count from 1 in the order of their ids. Raises KeyError for a category that nothing has.
        """
        objects = sorted(filter(self.is_object, segments), key=lambda found: found.id)
        numbers = {found.id: found.instance_number or place for place, found in enumerate(objects, start=1)}
        rows = [(found.id, self.train_ids[found.category_id], numbers.get(found.id, 0)) for found in segments]
        return " ".join(
            f"{value} {train_id} {number}" for value, train_id, number in [(VOID, self.ignore_index, 0), *rows]
        )


def paint(colors: NDArray[np.uint8], legend: str, where: str) -> tuple[Label, NDArray[np.uint16]]:
    """Train ids [H, W], uint8 or uint16, and objects uint16 [H, W] of a segment map, RGB uint8 [H, W, 3].

    A value is R + 256 G + 65536 B, and ``legend`` the text of `Legend.describe`. Raises RecordError naming the file
    and every value that the legend lacks or has twice.
    """
    rows = np.array([int(number) for number in legend.split()]).reshape(-1, 3)
    dtype = np.uint8 if rows[0, 1] == IGNORE_8_BIT else np.uint16
    if rows[:, 2].max() > MAX_OBJECTS:
        raise RecordError(f"too many objects: {where} has {rows[:, 2].max()}: at most {MAX_OBJECTS} are told apart")
    rows = rows[np.argsort(rows[:, 0])]
    if len(twice := rows[1:, 0][np.diff(rows[:, 0]) == 0]):
        raise RecordError(f"ambiguous segment id: {where} has several segments of the id {_some(twice)}")
    red, green, blue = np.moveaxis(colors.astype(np.uint32), -1, 0)
    values = red | green << 8 | blue << 16
    places = np.minimum(np.searchsorted(rows[:, 0], values), len(rows) - 1)
    strange = values[rows[places, 0] != values]
    if strange.size:
        raise RecordError(
            f"unknown segment id: {where} has {_some(np.unique(strange))} ({strange.size} pixels): expected {VOID} "
            f"or the id of one of its {len(rows) - 1} segments"
        )
    return rows[:, 1].astype(dtype)[places], rows[:, 2].astype(np.uint16)[places]


def _some(values: NDArray[np.integer]) -> str:
    return enumerate_some([str(value) for value in values])
