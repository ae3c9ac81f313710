"""Edits of the sources of generation: a source of samples whose layout, label, instances and boxes were edited."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from augment.errors import UserError
from pipeline.datasets.table import BOXES
from pipeline.engine import Failed, WorkUnit
from pipeline.stages.edit_options import EDITED, EDITS, EditOptions, PasteOptions, RemoveOptions
from pipeline.stages.edit_survey import Donors, scene_of
from pipeline.stages.reading import CaptionedSource, PairedSource
from pipeline.stages.seeds import stable_seed
from pipeline.store import JSON, CorruptStore, Sample

if TYPE_CHECKING:
    from augment.layouts.objects import SceneObject
    from augment.layouts.scene import Scene

# Objects that are tried for one paste; some find no place to stand.
_TRIES = 5


@dataclass(frozen=True)
class EditedSource:
    """Reads samples with layouts and edits them; what is done depends on the seed, the sample's key and the variant.

    A sample of another split, or without a label, is passed on as it is. If another image that an edit needs does not
    read, the sample is a failure.

    Attributes:
        source: reads layouts, labels and instances.
        donors: other images and their objects.
        options: the edits.
        classes: names of the train ids.
        ignore_index: train id of pixels without a class.
        seed: of the run.
    """

    source: PairedSource | CaptionedSource
    donors: Donors
    options: EditOptions
    classes: tuple[str, ...]
    ignore_index: int
    seed: int

    def read(self, unit: WorkUnit) -> Iterator[Sample | Failed]:
        """The edited samples in the unit's order."""
        for sample in self.source.read(unit):
            if (
                isinstance(sample, Failed)
                or sample.label is None
                or sample.metadata["split"] not in self.options.splits
            ):
                yield sample
                continue
            try:
                yield self.edited(sample, int(str(unit.params["variant"])))
            except (CorruptStore, KeyError, OSError) as error:
                reason = f"unreadable donor: an image that an edit of it needs does not read: {error}"
                yield Failed(sample.key, reason, traceback.format_exc())

    def edited(self, sample: Sample, variant: int) -> Sample:
        """The sample after its edits, with what was done in the metadata.

        Boxes of an edited sample are those of its instances; without instances they are dropped.

        Raises:
            CorruptStore, KeyError, OSError: an image to take something from does not read.
        """
        rng = np.random.default_rng(stable_seed("edit", self.seed, sample.key, variant))
        before = scene_of(sample, self.ignore_index)
        run = _Run(self, sample, before, rng)
        run.edit()
        scene, metadata = run.scene, {**sample.metadata, EDITS: run.done, EDITED: run.scene is not before}
        if scene is before:
            return replace(sample, metadata=metadata)
        if BOXES in metadata:
            del metadata[BOXES]
            if scene.instances is not None:
                metadata[BOXES] = self.boxes(scene)
        return replace(sample, layout=scene.layout, label=scene.label, instances=scene.instances, metadata=metadata)

    def boxes(self, scene: Scene) -> list[JSON]:
        """The boxes of the instances, in the form of a dataset's boxes."""
        from augment.layouts.objects import instance_boxes

        return [
            {
                "category": self.classes[box.train_id],
                "left": float(box.left),
                "top": float(box.top),
                "width": float(box.width),
                "height": float(box.height),
            }
            for box in instance_boxes(scene)
        ]


@dataclass
class _Run:
    """The edits of one sample."""

    source: EditedSource
    sample: Sample
    scene: Scene
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.done: list[JSON] = []

    def edit(self) -> None:
        """Do all edits, in their order."""
        options = self.source.options
        if options.remove is not None:
            self.remove(options.remove)
        if options.prototype is not None:
            for name in options.prototype.classes:
                if self.rng.random() < options.prototype.probability:
                    self.replace(name)
        if options.blend is not None and self.rng.random() < options.blend.probability:
            self.blend(options.blend.weight)
        if options.paste is not None and self.rng.random() < options.paste.probability:
            low, high = options.paste.number
            for _ in range(int(self.rng.integers(low, high + 1))):
                self.paste(options.paste)

    def remove(self, options: RemoveOptions) -> None:
        """Remove objects of the scene as it was, one after the other."""
        from augment.layouts.editing import remove
        from augment.layouts.objects import find_scene_objects

        train_ids = [self.source.classes.index(name) for name in options.classes]
        prototypes = self.source.donors.prototypes if options.fill == "prototype" else None
        for one in find_scene_objects(self.scene, train_ids):
            if self.rng.random() < options.probability:
                name = self.source.classes[one.train_id]
                about: dict[str, JSON] = {"operation": "remove", "class": name, "fill": options.fill}
                if not self.is_left(one):
                    self.done.append({**about, "cells": 0})
                    continue
                try:
                    self.note(remove(self.scene, one.mask, prototypes, classes=train_ids), about)
                except UserError as error:
                    self.skip(about, str(error))

    def is_left(self, one: SceneObject) -> bool:
        """Whether the removal of other objects, which share cells with it, has left any pixel of an object."""
        label, instances = self.scene.label, self.scene.instances
        assert label is not None
        is_class = label[one.mask] == one.train_id
        of_object = is_class if instances is None or one.number < 0 else instances[one.mask] == one.number
        return bool(of_object.any())

    def replace(self, name: str) -> None:
        """Replace the region of a class by its prototype."""
        from augment.layouts.editing import replace_class

        train_id = self.source.classes.index(name)
        about: dict[str, JSON] = {"operation": "prototype", "class": name}
        self.note(replace_class(self.scene, train_id, self.source.donors.prototypes), about)

    def blend(self, weight: float) -> None:
        """Mix the layout with that of another image."""
        from augment.layouts.editing import blend

        about: dict[str, JSON] = {"operation": "blend", "weight": weight}
        key = self.source.donors.image(self.sample, self.rng)
        if key is None:
            self.skip(about, "no other image")
            return
        self.note(blend(self.scene, self.read(key), weight), {**about, "donor": key})

    def paste(self, options: PasteOptions) -> None:
        """Paste one object, where it can stand; others are tried if it cannot stand anywhere."""
        from augment.layouts.editing import paste
        from augment.layouts.objects import find_scene_object
        from augment.layouts.placement import nearer_cells, places_in_row

        name = options.classes[int(self.rng.integers(len(options.classes)))]
        train_id = self.source.classes.index(name)
        about: dict[str, JSON] = {"operation": "paste", "class": name}
        for _ in range(_TRIES):
            chosen = self.source.donors.object(self.sample, train_id, self.rng)
            if chosen is None:
                self.skip(about, "no other image has one")
                return
            key, number = chosen
            donor = self.read(key)
            one = find_scene_object(donor, train_id, number)
            behind = nearer_cells(self.scene, one)
            places = places_in_row(self.scene, donor, one, options.cover, behind)
            if places:
                right = places[int(self.rng.integers(len(places)))]
                pasted = paste(self.scene, donor, one.mask, right, cover=options.cover, behind=behind)
                self.note(pasted, {**about, "donor": key, "object": number, "offset": [right, 0]})
                return
        self.skip(about, f"{_TRIES} objects found no place")

    def read(self, key: str) -> Scene:
        """The unedited scene of another image."""
        return scene_of(self.source.source.get(key), self.source.ignore_index)

    def note(self, scene: Scene, about: Mapping[str, JSON]) -> None:
        """Go on with an edited scene, and note the number of its new cells; a scene without any is no edit."""
        cells = int(scene.changes(self.scene).sum())
        if cells:
            self.scene = scene
            self.done.append({**about, "cells": cells})
        else:
            self.skip(about, "no cell changes")

    def skip(self, about: Mapping[str, JSON], reason: str) -> None:
        """Note an edit that could not be done."""
        self.done.append({**about, "skipped": reason})
