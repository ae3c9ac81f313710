"""CamVid with 11 classes, in the folder layout of the SegNet tutorial."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.datasets.dataset import Annotations, Dataset
from pipeline.datasets.files.images import map_ids, read_label_ids
from pipeline.datasets.files.tree import Tree
from pipeline.datasets.pairing.layout import require_layout, require_split
from pipeline.datasets.pairing.pairs import check_split
from pipeline.datasets.pairing.places import Place
from pipeline.datasets.record import Facts, Record, records_of
from pipeline.taxonomies import CAMVID, Taxonomy

LABEL_FOLDER_SUFFIX = "annot"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
USUAL_SPLITS = ("train", "val", "test")
UNLABELLED_ID = 11
# The sequence filmed at dusk; all others were filmed in daylight.
DUSK_SEQUENCE = "0001TP_"

_TRAIN_IDS = np.arange(256, dtype=np.uint8)
_TRAIN_IDS[UNLABELLED_ID] = CAMVID.ignore_index
_IS_INDEX = np.arange(256) <= UNLABELLED_ID


def attributes_of(name: str) -> dict[str, str]:
    """The attributes of a frame, from its name."""
    return {"time_of_day": "dusk" if name.startswith(DUSK_SEQUENCE) else "day"}


@dataclass(frozen=True)
class CamVid(Dataset):
    """Reader of ``<split>/<name>.png|jpg`` with class indices in ``<split>annot/<name>.png``.

    Raises UserError if ``root`` is not such a folder.
    """

    tree: Tree
    name: str = "camvid"
    taxonomy: Taxonomy = CAMVID

    def __post_init__(self) -> None:
        require_layout(self.tree, self.splits, "a CamVid folder", "train/*.png and trainannot/*.png")

    def splits(self) -> list[str]:
        """Names of the folders that have a ``<name>annot`` beside them or a usual split's name, sorted."""
        folders = self.tree.folders()
        return [name for name in folders if name + LABEL_FOLDER_SUFFIX in folders or name in USUAL_SPLITS]

    def records(self, split: str) -> list[Record]:
        """Every image of a split, sorted by key; only a ``test`` split may come without labels.

        Raises UserError for a split that is absent, empty or labelled in part.
        """
        image_folder, label_folder = split, f"{split}{LABEL_FOLDER_SUFFIX}"
        require_split(split, self.splits(), self.tree.at(image_folder))
        image, label = Place(image_folder, IMAGE_SUFFIXES), Place(label_folder, (".png",))
        images, labels = image.find(self.tree), label.find(self.tree)
        check_split(self.tree, split, images, labels, image, label)
        return records_of(split, images, labels, lambda name, _: Facts(attributes_of(name)))

    def annotations(self, record: Record) -> Annotations:
        """Train ids uint8 [H, W] (0..10, 255); see `Dataset`."""
        if record.label is None:
            return Annotations()
        ids = read_label_ids(self.tree, record.label)
        return Annotations(map_ids(ids, _TRAIN_IDS, _IS_INDEX, self.tree.at(record.label)))
