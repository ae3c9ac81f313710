"""Cityscapes, in the layout of its official archives."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.annotations.classes_file import read_classes_file
from pipeline.datasets.dataset import Annotations, Dataset
from pipeline.datasets.dataset_tables import Tables, read_tables
from pipeline.datasets.files.images import map_ids, read_label_ids
from pipeline.datasets.files.tree import Tree
from pipeline.datasets.pairing.layout import require_layout, require_split
from pipeline.datasets.pairing.pairs import check_split, note_ignored
from pipeline.datasets.pairing.places import Place, by_name
from pipeline.datasets.record import Record, RecordError, make_key, sorted_by_key
from pipeline.taxonomies import CITYSCAPES, Taxonomy, train_id_table
from pipeline.taxonomies.cityscapes import LABEL_IDS, LABELS

IMAGE_SUFFIX = "_leftImg8bit.png"
LABEL_IDS_SUFFIX = "_labelIds.png"
TRAIN_IDS_SUFFIX = "_labelTrainIds.png"
INSTANCE_IDS_SUFFIX = "_instanceIds.png"
ATTRIBUTES_SUFFIX = "_attributes.json"
# Not in the official archives: exports of other sets in this format state their classes in it.
CLASSES = "classes.json"
# The annotations of `test` are not published, and `train_extra` has no fine ones.
UNLABELLED_SPLITS = {"gtFine": ("test", "train_extra"), "gtCoarse": ("test",)}

_TRAIN_IDS = train_id_table(LABEL_IDS, CITYSCAPES)
_IS_LABEL_ID = np.arange(256) < len(LABELS)
_IDENTITY = np.arange(256, dtype=np.uint8)

# The value of an object in an instanceIds file is label id * this + number.
INSTANCE_BASE = 1000
_HAS_OBJECTS = np.array([label.evaluated and label.has_instances for label in LABELS])


@dataclass(frozen=True)
class Cityscapes(Dataset):
    """Reader of ``leftImg8bit/<split>/<city>`` and ``gtFine/<split>/<city>``, or ``gtCoarse`` instead.

    Labels are ``labelIds`` images, or ``labelTrainIds`` where an image has only those; objects are read from the
    ``instanceIds`` beside them. Images that have ``attributes/<split>/<city>/<id>_attributes.json`` take their
    attributes from it; all others are photographs with the name of their folder as ``city``. Raises UserError if
    ``root`` is not such a folder.
    """

    tree: Tree
    name: str = "cityscapes"
    annotation: Literal["gtFine", "gtCoarse"] = "gtFine"

    def __post_init__(self) -> None:
        expected = f"leftImg8bit/<split>/<city>/*{IMAGE_SUFFIX} and {self.annotation}/"
        require_layout(self.tree, self.splits, "a Cityscapes folder", expected)

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The 19 classes, or those in the root's ``classes.json`` for ``labelTrainIds`` of other classes."""
        if not self.tree.location.exists(CLASSES):
            return CITYSCAPES
        return read_classes_file(self.tree, CLASSES, None).taxonomy

    def splits(self) -> list[str]:
        """Names of the folders in ``leftImg8bit``, sorted."""
        return self.tree.folders("leftImg8bit")

    def records(self, split: str) -> list[Record]:
        """Every image of a split, sorted by key; ``test``, and ``train_extra`` of gtFine, may come without labels.

        Raises UserError for a split that is absent, empty or labelled in part, and for a damaged file
        of attributes.
        """
        image_folder, label_folder, stem = f"leftImg8bit/{split}", f"{self.annotation}/{split}", f"_{self.annotation}"
        require_split(split, self.splits(), self.tree.at(image_folder))
        images = self._files(image_folder, IMAGE_SUFFIX)
        train_ids = self._files(label_folder, stem + TRAIN_IDS_SUFFIX)
        labels = train_ids | self._files(label_folder, stem + LABEL_IDS_SUFFIX)
        instances = self._files(label_folder, stem + INSTANCE_IDS_SUFFIX)
        # An empty folder of a city means that the user leaves the city out.
        emptied = self._emptied(image_folder, images)
        note_ignored(path for identity, path in labels.items() if _city(identity) in emptied)
        labels = {identity: path for identity, path in labels.items() if _city(identity) not in emptied}
        where = f"{self.tree.at(label_folder)}/<city>/<id>{stem}"
        check_split(
            self.tree,
            split,
            images,
            labels,
            _place(image_folder, IMAGE_SUFFIX, f"{self.tree.at(image_folder)}/<city>/<id>{IMAGE_SUFFIX}"),
            _place(label_folder, stem + LABEL_IDS_SUFFIX, f"{where}{LABEL_IDS_SUFFIX} or <id>{stem}{TRAIN_IDS_SUFFIX}"),
            unlabelled_splits=UNLABELLED_SPLITS[self.annotation],
        )
        described = self._files(f"attributes/{split}", ATTRIBUTES_SUFFIX)
        contents = self.tree.read_jsons(list(described.values()))
        attributes = {
            identity: self._attributes(path, content)
            for (identity, path), content in zip(described.items(), contents, strict=True)
        }

        def known(identity: str, path: str) -> dict[str, str]:
            city = {"city": _city(identity)}
            return attributes.get(identity) or self._tables.facts_of(identity, path).attributes or city

        return sorted_by_key(
            [
                Record(
                    key=make_key(split, PurePosixPath(identity).name),
                    split=split,
                    image=path,
                    label=labels.get(identity),
                    instances=instances.get(identity),
                    attributes={"medium": "photo", **known(identity, path)},
                    captions=self._tables.facts_of(identity, path).captions,
                    boxes=self._tables.facts_of(identity, path).boxes,
                )
                for identity, path in images.items()
            ]
        )

    def annotations(self, record: Record) -> Annotations:
        """Train ids uint8 [H, W] (0..18, 255) and numbered objects uint16 [H, W]; see `Dataset`."""
        return Annotations(
            None if record.label is None else self._label(record.label),
            None if record.instances is None else self._instances(record.instances),
        )

    def tables(self) -> Collection[str]:
        """The tables with attributes and captions."""
        return self._tables.rows.keys()

    @cached_property
    def _tables(self) -> Tables:
        return read_tables(self.tree, [f"leftImg8bit/{split}" for split in self.splits()])

    def _label(self, path: str) -> NDArray[np.uint8]:
        ids, where = read_label_ids(self.tree, path), self.tree.at(path)
        if path.endswith(TRAIN_IDS_SUFFIX):
            return map_ids(ids, _IDENTITY, self.taxonomy.is_id[:256], where)
        if self.taxonomy != CITYSCAPES:
            raise RecordError(f"foreign label ids: {where} has ids of Cityscapes, but {CLASSES} states other classes")
        return map_ids(ids, _TRAIN_IDS, _IS_LABEL_ID, where)

    def _instances(self, path: str) -> NDArray[np.uint16]:
        return number_objects(read_label_ids(self.tree, path), self.tree.at(path))

    def _files(self, folder: str, suffix: str) -> dict[str, str]:
        """Files of every city that end in ``suffix``, by city and image id."""
        paths = self.tree.files(folder, suffix)
        return by_name(paths, lambda path: path.removeprefix(f"{folder}/")[: -len(suffix)])

    def _emptied(self, folder: str, images: Collection[str]) -> set[str]:
        """Cities of a split that have a folder without images."""
        return set(self.tree.folders(folder)) - {_city(identity) for identity in images}

    def _attributes(self, path: str, content: Any) -> dict[str, str]:
        if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
            raise RecordError(f"wrong attributes: {self.tree.at(path)} must be a JSON object of strings")
        return content


def _place(folder: str, suffix: str, expected: str) -> Place:
    """The place of files of every city that end in ``suffix``, by city and image id."""
    ending, _, kind = suffix.rpartition(".")

    def name_of(path: str) -> str:
        return path.removeprefix(f"{folder}/").rpartition(".")[0].removesuffix(ending)

    return Place(folder, (f".{kind}",), ending, name_of, expected)


def _city(identity: str) -> str:
    """The city of an image, from its path in the split's folder."""
    return PurePosixPath(identity).parent.name


def number_objects(values: NDArray[np.uint8 | np.uint16], where: str) -> NDArray[np.uint16]:
    """Number the objects of an ``instanceIds`` image [H, W] from 1, in ascending order of their values.

    Groups of objects and classes that are not evaluated, such as caravans, are 0, so that every object has a class.
    Raises RecordError naming the file and every value with an unknown label id.
    """
    present = np.flatnonzero(np.bincount(values.ravel()))
    label_ids = np.where(present < INSTANCE_BASE, present, present // INSTANCE_BASE)
    if len(unknown := present[label_ids >= len(LABELS)]):
        raise RecordError(
            f"unknown instance id: {where} has values {unknown.tolist()}: expected label ids 0..{len(LABELS) - 1}, "
            f"or label id * {INSTANCE_BASE} + number"
        )
    objects = present[(present >= INSTANCE_BASE) & _HAS_OBJECTS[label_ids]]
    numbers = np.zeros(present[-1] + 1, np.uint16)
    numbers[objects] = np.arange(1, len(objects) + 1)
    return numbers[values]
