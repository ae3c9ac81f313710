"""Cityscapes, as its official archives unpack."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from augment.errors import UserError
from pipeline.datasets.base import Frame, Record, RecordError, Size, check_same_size, make_key, sorted_by_key
from pipeline.datasets.folders import by_name, check_pairs, require_root, require_split
from pipeline.datasets.images import map_ids, read_frame, read_label_ids
from pipeline.datasets.tree import Tree
from pipeline.taxonomies import CITYSCAPES, Taxonomy

# Label id of each train id, from the table of the official scripts; every other label id is ignored.
LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
NUM_LABEL_IDS = 34

IMAGE_SUFFIX = "_leftImg8bit.png"
LABEL_IDS_SUFFIX = "_gtFine_labelIds.png"
TRAIN_IDS_SUFFIX = "_gtFine_labelTrainIds.png"
ATTRIBUTES_SUFFIX = "_attributes.json"

_TRAIN_IDS = np.full(256, CITYSCAPES.ignore_index, np.uint8)
_TRAIN_IDS[list(LABEL_IDS)] = np.arange(len(LABEL_IDS))
_IS_LABEL_ID = np.arange(256) < NUM_LABEL_IDS
_IDENTITY = np.arange(256, dtype=np.uint8)
_IS_TRAIN_ID = (np.arange(256) < len(CITYSCAPES)) | (np.arange(256) == CITYSCAPES.ignore_index)


@dataclass(frozen=True)
class Cityscapes:
    """Reader of ``leftImg8bit/<split>/<city>`` and ``gtFine/<split>/<city>``.

    Labels are ``labelIds`` images, or ``labelTrainIds`` where an image has only those. Images that have
    ``attributes/<split>/<city>/<id>_attributes.json`` beside them take their attributes from it; all others
    are photographs. Raises UserError where ``root`` is not such a folder.
    """

    tree: Tree
    name: str = "cityscapes"
    taxonomy: Taxonomy = CITYSCAPES

    def __post_init__(self) -> None:
        require_root(self.tree, "leftImg8bit/ and gtFine/")
        if not self.splits():
            raise UserError(
                f"{self.tree} is no Cityscapes folder: expected "
                f"leftImg8bit/<split>/<city>/*{IMAGE_SUFFIX}, found {self.tree.found_in()}"
            )

    def splits(self) -> list[str]:
        """Names of the folders in ``leftImg8bit``, sorted."""
        return self.tree.folders("leftImg8bit")

    def records(self, split: str) -> list[Record]:
        """Every image of a split, sorted by key; only a ``test`` split may come without labels.

        Raises UserError for a split that is absent, empty or labelled in part, and for a broken attribute
        file.
        """
        image_folder, label_folder = f"leftImg8bit/{split}", f"gtFine/{split}"
        require_split(split, self.splits(), self.tree.at(image_folder))
        images = self._files(image_folder, IMAGE_SUFFIX)
        labels = self._files(label_folder, TRAIN_IDS_SUFFIX) | self._files(label_folder, LABEL_IDS_SUFFIX)
        check_pairs(
            split,
            images,
            labels,
            f"{self.tree.at(image_folder)}/<city>/<id>{IMAGE_SUFFIX}",
            f"{self.tree.at(label_folder)}/<city>/<id>{LABEL_IDS_SUFFIX} or <id>{TRAIN_IDS_SUFFIX}",
        )
        described = self._files(f"attributes/{split}", ATTRIBUTES_SUFFIX)
        contents = self.tree.read_jsons(list(described.values()))
        attributes = {
            identity: self._attributes(path, content)
            for (identity, path), content in zip(described.items(), contents, strict=True)
        }
        return sorted_by_key(
            [
                Record(
                    key=make_key(split, PurePosixPath(identity).name),
                    split=split,
                    image=path,
                    label=labels.get(identity),
                    attributes={"medium": "photo", **attributes.get(identity, {})},
                )
                for identity, path in images.items()
            ]
        )

    def load(self, record: Record, at_least: Size | None = None) -> Frame:
        """Read RGB uint8 [H, W, 3] and train ids uint8 [H, W] (0..18, 255).

        Raises RecordError naming the file that cannot be read, has unknown ids, or has another size.
        """
        frame = read_frame(self.tree, record.image, at_least)
        if record.label is None:
            return frame
        ids, where = read_label_ids(self.tree, record.label), self.tree.at(record.label)
        if record.label.endswith(TRAIN_IDS_SUFFIX):
            label = map_ids(ids, _IDENTITY, _IS_TRAIN_ID, where)
        else:
            label = map_ids(ids, _TRAIN_IDS, _IS_LABEL_ID, where)
        check_same_size(frame, label, record, record.label)
        return replace(frame, label=label)

    def _files(self, folder: str, suffix: str) -> dict[str, str]:
        """Files of every city that end in ``suffix``, by city and image id."""
        paths = self.tree.files(folder, suffix)
        return by_name(paths, lambda path: path.removeprefix(f"{folder}/")[: -len(suffix)])

    def _attributes(self, path: str, content: Any) -> dict[str, str]:
        if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
            raise RecordError(f"wrong attributes: {self.tree.at(path)} must be a JSON object of strings")
        return content
