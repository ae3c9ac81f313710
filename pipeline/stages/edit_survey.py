"""What edits need, found once in a pass over labels and layouts: the objects of each split, and class prototypes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from augment.errors import UserError
from pipeline.datasets import TRAIN_SPLIT
from pipeline.engine import Failed, Resources, Source, WorkUnit
from pipeline.stages.edit_options import EditOptions
from pipeline.store import Sample

if TYPE_CHECKING:
    from augment.layouts.prototypes import ClassPrototypes
    from augment.layouts.scene import Scene

IMAGES, OBJECTS, PROTOTYPES = "images.parquet", "objects.parquet", "prototypes.safetensors"
_IMAGES = pa.schema([("key", pa.string()), ("split", pa.string()), ("instances", pa.bool_())])
_OBJECTS = pa.schema([*_IMAGES, ("train_id", pa.int32()), ("number", pa.int32())])


def scene_of(sample: Sample, ignore_index: int) -> Scene:
    """The scene of a sample with a layout, unedited."""
    from augment.layouts.scene import Scene

    assert sample.layout is not None
    return Scene.of(sample.key, sample.layout, sample.label, sample.instances, ignore_index)


@dataclass(frozen=True)
class Survey:
    """What one pass has found.

    Attributes:
        images: labelled samples as rows of (key, split, has instances).
        objects: objects to paste as rows of (key, split, has instances, train id, number); see `SceneObject`.
        pixels: labelled pixels of each class in each split, `int64 [C]`.
        prototypes: of the training split; None if no edit needs them.
    """

    images: list[tuple[str, str, bool]]
    objects: list[tuple[str, str, bool, int, int]]
    pixels: dict[str, np.ndarray]
    prototypes: ClassPrototypes | None

    @classmethod
    def merged(cls, parts: Sequence[Survey]) -> Survey:
        """All parts in their order."""
        pixels: dict[str, np.ndarray] = {}
        for part in parts:
            for split, found in part.pixels.items():
                pixels[split] = pixels[split] + found if split in pixels else found
        prototypes = None
        for part in parts:
            if part.prototypes is not None:
                prototypes = part.prototypes if prototypes is None else prototypes.merge(part.prototypes)
        images = [row for part in parts for row in part.images]
        return cls(images, [row for part in parts for row in part.objects], pixels, prototypes)

    def require_useful(self, options: EditOptions, classes: Sequence[str]) -> None:
        """Check that every class that an edit names occurs as the edit needs it.

        Raises:
            UserError: one never does.
        """
        pixels = sum((self.pixels[split] for split in options.splits if split in self.pixels), np.zeros(len(classes)))
        splits = " and ".join(options.splits)
        for section, names in options.named_classes.items():
            if absent := [name for name in names if not pixels[classes.index(name)]]:
                seen = ", ".join(name for name, count in zip(classes, pixels, strict=True) if count) or "none"
                raise UserError(
                    f"generate.edit.{section}.classes: {absent[0]!r} is in no label of {splits}: name classes that "
                    f"occur ({seen})"
                )
        if options.paste is not None:
            known = {train_id for *_, train_id, _ in self.objects}
            if absent := [name for name in options.paste.classes if classes.index(name) not in known]:
                raise UserError(
                    f"generate.edit.paste: no {absent[0]!r} of {splits} has min_area={options.paste.min_area} "
                    f"pixels and covers {options.paste.cover:g} of a layout cell: give a smaller min_area or cover"
                )
        if options.needs_prototypes and self.prototypes is None:
            raise UserError(f"generate.edit: no image of {TRAIN_SPLIT!r} has a label, so there are no class means")
        if options.prototype is not None and self.prototypes is not None:
            for name in options.prototype.classes:
                if not self.prototypes.counts[classes.index(name)].any():
                    raise UserError(
                        f"generate.edit.prototype.classes: {name!r} fills half of no layout cell of {TRAIN_SPLIT!r}, "
                        "so there is no mean layout of it: leave it out"
                    )

    def save(self, folder: Path) -> None:
        """Write the survey to a folder."""
        for name, rows, schema in ((IMAGES, self.images, _IMAGES), (OBJECTS, self.objects, _OBJECTS)):
            # By key, so that those of one image are neighbours.
            columns = zip(*sorted(rows), strict=True) if rows else [()] * len(schema)
            arrays = [pa.array(column, each.type) for column, each in zip(columns, schema, strict=True)]
            pq.write_table(pa.table(arrays, schema=schema), folder / name)
        if self.prototypes is not None:
            self.prototypes.save(folder / PROTOTYPES)


@dataclass(frozen=True)
class SurveyScenes:
    """Finds the objects and the class means of a unit; samples that do not read, or have no label, are left out.

    Attributes:
        source: reads layouts, labels and instances.
        options: the edits.
        classes: names of the train ids.
        ignore_index: train id of pixels without a class.
    """

    source: Source
    options: EditOptions
    classes: tuple[str, ...]
    ignore_index: int
    resources: Resources
    name: str = "survey for edits"

    def setup(self) -> None:
        """Nothing to load."""

    def run(self, unit: WorkUnit) -> Survey:
        """The survey of one shard."""
        from augment.layouts.objects import find_scene_objects
        from augment.layouts.prototypes import ClassPrototypes
        from augment.layouts.scene import cells_of

        paste, found = self.options.paste, Survey([], [], {}, None)
        prototypes: list[ClassPrototypes] = []
        pasted = [self.classes.index(name) for name in paste.classes] if paste else []
        for sample in self.source.read(unit):
            if isinstance(sample, Failed) or sample.label is None or sample.layout is None:
                continue
            split = str(sample.metadata["split"])
            if split == TRAIN_SPLIT and self.options.needs_prototypes:
                prototypes.append(ClassPrototypes.of(sample.layout, sample.label, len(self.classes)))
            if split not in self.options.splits:
                continue
            row = sample.key, split, sample.instances is not None
            found.images.append(row)
            pixels = np.bincount(sample.label.ravel(), minlength=len(self.classes))[: len(self.classes)]
            found.pixels[split] = found.pixels.get(split, 0) + pixels.astype(np.int64)
            if paste is not None:
                scene = scene_of(sample, self.ignore_index)
                for one in find_scene_objects(scene, pasted, paste.min_area):
                    if cells_of(one.mask, paste.cover).any():
                        found.objects.append((*row, one.train_id, one.number))
        means = ClassPrototypes.merged(prototypes) if prototypes else None
        return Survey(found.images, found.objects, found.pixels, means)


@dataclass(frozen=True)
class Donors:
    """What a worker reads of a survey, to choose other images and their objects from.

    Attributes:
        folder: of the survey.
    """

    folder: Path

    @cached_property
    def _images(self) -> Mapping[tuple[object, ...], _Rows]:
        return _grouped(pq.read_table(self.folder / IMAGES), ("split", "instances"), None)

    @cached_property
    def _objects(self) -> Mapping[tuple[object, ...], _Rows]:
        return _grouped(pq.read_table(self.folder / OBJECTS), ("split", "instances", "train_id"), "number")

    @cached_property
    def prototypes(self) -> ClassPrototypes:
        """The class means of the training split."""
        from augment.layouts.prototypes import ClassPrototypes

        return ClassPrototypes.load(self.folder / PROTOTYPES)

    def image(self, sample: Sample, rng: np.random.Generator) -> str | None:
        """The key of another labelled image of a sample's split, with instances if it has them; None without one."""
        rows = self._images.get((sample.metadata["split"], sample.instances is not None), _Rows())
        index = rows.other_than(sample.key, rng)
        return None if index is None else rows.keys[index]

    def object(self, sample: Sample, train_id: int, rng: np.random.Generator) -> tuple[str, int] | None:
        """Key and number of an object of another image of a sample's split; None without one."""
        rows = self._objects.get((sample.metadata["split"], sample.instances is not None, train_id), _Rows())
        index = rows.other_than(sample.key, rng)
        return None if index is None else (rows.keys[index], rows.numbers[index])


@dataclass
class _Rows:
    """Keys in ascending order, and a number for each."""

    keys: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def other_than(self, key: str, rng: np.random.Generator) -> int | None:
        """The index of a random row with another key."""
        start, stop = bisect_left(self.keys, key), bisect_right(self.keys, key)
        count = len(self.keys) - (stop - start)
        if not count:
            return None
        index = int(rng.integers(count))
        return index if index < start else index + stop - start


def _grouped(table: pa.Table, names: tuple[str, ...], number: str | None) -> dict[tuple[object, ...], _Rows]:
    """The rows of a table, which is sorted by key, by the values of some columns."""
    found: dict[tuple[object, ...], _Rows] = {}
    columns = [table[name].to_pylist() for name in names]
    numbers = table[number].to_pylist() if number else [0] * len(table)
    for key, of_row, *group in zip(table["key"].to_pylist(), numbers, *columns, strict=True):
        rows = found.setdefault(tuple(group), _Rows())
        rows.keys.append(key)
        rows.numbers.append(of_row)
    return found
