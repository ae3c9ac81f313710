"""A reader of one's own, as a user writes it: scans beside their masks, ``<split>/<name>.jpg`` and ``.png``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.datasets import Annotations, Dataset, Record, Tree, make_key, map_ids, read_label_ids
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
        stems = [path.removesuffix(".jpg") for path in self.tree.files(split, ".jpg")]
        return [
            Record(make_key(split, stem.split("/")[-1]), split, f"{stem}.jpg", f"{stem}.png", None, {"medium": "scan"})
            for stem in stems
        ]

    def annotations(self, record: Record) -> Annotations:
        ids = read_label_ids(self.tree, str(record.label))
        return Annotations(map_ids(ids, TRAIN_IDS, CLASSES.is_id[:256], self.tree.at(str(record.label))))
