"""The on-disk format of Cityscapes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError
from pipeline.datasets.readers.cityscapes import (
    ATTRIBUTES_SUFFIX,
    IMAGE_SUFFIX,
    INSTANCE_BASE,
    INSTANCE_IDS_SUFFIX,
    LABEL_IDS_SUFFIX,
    TRAIN_IDS_SUFFIX,
    UNLABELLED_SPLITS,
)
from pipeline.export.class_file import write_classes
from pipeline.export.destination import Destination
from pipeline.export.exported_store import ExportedStore, Item
from pipeline.export.format import Written
from pipeline.export.segments import unique_runs
from pipeline.stages.descriptions import content_attributes
from pipeline.store import Sample
from pipeline.store.codec import encode_image
from pipeline.taxonomies import CITYSCAPES, Taxonomy, colorize
from pipeline.taxonomies.cityscapes import LABEL_IDS, LABELS

COLOR_SUFFIX = "_color.png"

_NAME = re.compile(r"[a-z-]+_\d{6}_\d{6}")
_FRAMES = 1_000_000
_ANNOTATION = "gtFine"
# The label id of each train id; ignored pixels become 0, unlabeled.
_LABEL_IDS = np.zeros(256, np.uint8)
_LABEL_IDS[: len(LABEL_IDS)] = LABEL_IDS
_HAS_INSTANCES = np.array([label.has_instances for label in LABELS])


class CityscapesFormat:
    """``leftImg8bit``, ``gtFine`` and ``attributes``, by split and city, all of them PNG.

    Labels are ``labelTrainIds`` and ``color``; with the classes of Cityscapes also ``labelIds`` and, where a sample
    has instances, ``instanceIds``. Other classes are listed in ``classes.json``, which the reader of this project
    uses. Objects on ignored pixels are not written, as those have no label id. Raises UserError for labels of 16 bits.
    """

    def __init__(self, store: ExportedStore, destination: Destination) -> None:
        self._store, self._destination = store, destination
        if store.taxonomy is not None and store.taxonomy.dtype != np.uint8:
            raise UserError(
                f"{store.url}: {len(store.taxonomy)} classes do not fit the 8-bit labels of Cityscapes: "
                "export it with --format folder or coco"
            )

    def named(self, items: Sequence[Item]) -> list[Item]:
        """Items called ``<city>_<six digits>_<six digits>``.

        They keep their names where all have such names. Otherwise all get new ones: the dataset's name as city, and
        their number.
        """
        if all(_NAME.fullmatch(item.name) for item in items):
            return list(items)
        return [
            replace(item, name=f"{_city(item.dataset)}_{item.number // _FRAMES:06d}_{item.number % _FRAMES:06d}")
            for item in items
        ]

    def check(self, items: Sequence[Item]) -> None:
        """Raise UserError for a split without all of its labels; only test and train_extra may have none at all."""
        for split in sorted({item.split for item in items}):
            labelled = [item.labelled for item in items if item.split == split]
            if all(labelled) or (split in UNLABELLED_SPLITS[_ANNOTATION] and not any(labelled)):
                continue
            raise UserError(
                f"{self._store.url}: {labelled.count(False)} of {len(labelled)} samples of split {split!r} have "
                "no label, but Cityscapes requires one for each: export it with --format folder"
            )

    def write(self, item: Item) -> Written:
        """Write image, label files and attributes."""
        sample, members = self._store.read(item.key)
        place = f"{item.split}/{item.name.split('_')[0]}/{item.name}"
        taxonomy = self._store.taxonomy
        if sample.label is not None and taxonomy is not None:
            for suffix, array in label_files(sample, taxonomy).items():
                self._destination.write(f"gtFine/{place}_gtFine{suffix}", encode_image(array, "png"))
        if attributes := content_attributes(sample):
            content = json.dumps(attributes, ensure_ascii=False, sort_keys=True) + "\n"
            self._destination.write(f"attributes/{place}{ATTRIBUTES_SUFFIX}", content.encode())
        path = f"leftImg8bit/{place}{IMAGE_SUFFIX}"
        self._destination.write(path, self._store.as_png(members[self._store.image_format]))
        return Written(path, sample.metadata)

    def collect(self, item: Item, written: Written) -> None:
        """Collect nothing."""

    def finish(self) -> None:
        """Write the classes if they are not those of Cityscapes."""
        if self._store.taxonomy not in (None, CITYSCAPES):
            write_classes(self._store, self._destination)


def label_files(sample: Sample, taxonomy: Taxonomy) -> dict[str, NDArray[np.uint8] | NDArray[np.uint16]]:
    """The label files of a labelled sample by the end of their names; raises UserError for an id of no class."""
    assert sample.label is not None
    label = sample.label.astype(np.uint8)
    files: dict[str, NDArray[np.uint8] | NDArray[np.uint16]] = {
        COLOR_SUFFIX: np.dstack([colorize(label, taxonomy), np.full_like(label, 255)]),
        TRAIN_IDS_SUFFIX: label,
    }
    if taxonomy == CITYSCAPES:
        files[LABEL_IDS_SUFFIX] = _LABEL_IDS[label]
        if sample.instances is not None:
            files[INSTANCE_IDS_SUFFIX] = instance_ids(_LABEL_IDS[label], sample.instances)
    return files


def instance_ids(label_ids: NDArray[np.uint8], instances: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Label ids [H, W] with the numbers of objects [H, W] (0 is none) as values of ``instanceIds``, uint16 [H, W].

    The objects of each class count from 0 in the order of their numbers. Raises UserError where a class has more
    than 1000 of them.
    """
    values = label_ids.astype(np.uint16)
    on_object = (instances > 0) & _HAS_INSTANCES[label_ids]
    objects, which = unique_runs(label_ids[on_object].astype(np.uint32) << 16 | instances[on_object])
    classes = objects >> 16
    numbers = np.arange(len(objects)) - np.searchsorted(classes, classes)
    if len(objects) and numbers.max() >= INSTANCE_BASE:
        raise UserError(
            f"an image has {numbers.max() + 1} objects of one class: instanceIds can number only {INSTANCE_BASE}"
        )
    values[on_object] = (classes * INSTANCE_BASE + numbers)[which]
    return values


def _city(dataset: str) -> str:
    return re.sub(r"[^a-z]+", "-", dataset.lower()).strip("-") or "store"
