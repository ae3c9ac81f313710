"""A reader of one's own, as a user writes it: scans beside their masks, ``<split>/<name>.jpg`` and ``.png``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.datasets import (
    Annotations,
    Dataset,
    Facts,
    Place,
    Record,
    Tree,
    check_split,
    map_ids,
    read_label_ids,
    records_of,
)
from pipeline.taxonomies import Taxonomy, taxonomy_of_classes

CLASSES = taxonomy_of_classes("scans", ["bone", "tissue"])
TRAIN_IDS = np.arange(256, dtype=np.uint8)


@dataclass(frozen=True)
class Scans(Dataset):
    tree: Tree
    name: str = "scans"
    taxonomy: Taxonomy = CLASSES

    def splits(self) -> list[str]:
        return self.tree.folders()

    def records(self, split: str) -> list[Record]:
        image, label = Place(split, (".jpg",)), Place(split, (".png",))
        images, labels = image.find(self.tree), label.find(self.tree)
        check_split(self.tree, split, images, labels, image, label)
        return records_of(split, images, labels, lambda _name, _path: Facts({"medium": "scan"}))

    def annotations(self, record: Record) -> Annotations:
        ids, where = read_label_ids(self.tree, str(record.label)), self.tree.at(str(record.label))
        return Annotations(map_ids(ids, TRAIN_IDS, CLASSES.is_id[:256], where))
