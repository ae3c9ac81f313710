"""COCO-Stuff: the images, captions and boxes of COCO 2017 with the class labels of stuffthingmaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.datasets.annotations.coco_json import read_boxes, read_captions
from pipeline.datasets.dataset import Annotations, Dataset
from pipeline.datasets.files.images import map_ids, read_label_ids
from pipeline.datasets.files.tree import Tree
from pipeline.datasets.pairing.layout import require_layout, require_split
from pipeline.datasets.pairing.pairs import check_split
from pipeline.datasets.pairing.places import Place, by_name, stem
from pipeline.datasets.record import Facts, Record, records_of
from pipeline.taxonomies import COCO_STUFF, Taxonomy, train_id_table
from pipeline.taxonomies.coco_stuff import RAW_IDS

# Split -> its name in the release.
FOLDERS = {"train": "train2017", "val": "val2017", "test": "test2017", "unlabeled": "unlabeled2017"}
UNLABELLED = ("test", "unlabeled")
IMAGE_ROOTS = ("images/", "")
# Folders of the archive, of other frameworks, and of images and labels that were unpacked together.
LABEL_ROOTS = ("stuffthingmaps_trainval2017/", "stuffthingmaps/", "annotations/", "")
# Written by mmsegmentation's converter, beside the originals or instead of them.
TRAIN_IDS_SUFFIX = "_labelTrainIds.png"

_TRAIN_IDS = train_id_table(RAW_IDS, COCO_STUFF)
_IS_RAW_ID = np.isin(np.arange(256), (*RAW_IDS, COCO_STUFF.ignore_index))
_IDENTITY = np.arange(256, dtype=np.uint8)
_IS_TRAIN_ID = COCO_STUFF.is_id[:256]


@dataclass(frozen=True)
class CocoStuff(Dataset):
    """Reader of ``[images/]<split>2017/<name>.jpg`` with raw ids in ``<labels>/<split>2017/<name>.png``.

    ``<labels>`` is ``stuffthingmaps_trainval2017``, ``stuffthingmaps``, ``annotations``, or empty if both archives
    were unpacked into one folder. A raw id is a category minus one, 255 for none; ``<name>_labelTrainIds.png`` is read
    too. The optional ``annotations/captions_<split>2017.json`` and ``instances_<split>2017.json`` give captions and
    boxes; labels have no objects. Raises UserError if ``root`` is not such a folder.
    """

    tree: Tree
    name: str = "coco-stuff"
    taxonomy: Taxonomy = COCO_STUFF

    def __post_init__(self) -> None:
        expected = f"train2017/*.jpg or images/train2017/*.jpg, and {LABEL_ROOTS[0]}"
        require_layout(self.tree, self.splits, "a COCO-Stuff folder", expected)

    def splits(self) -> list[str]:
        """``test``, ``train``, ``unlabeled`` and ``val``, as far as they are on disk."""
        folders = {f"{root}{name}" for root in IMAGE_ROOTS for name in self.tree.folders(root.rstrip("/"))}
        return sorted(
            split for split, name in FOLDERS.items() if any(f"{root}{name}" in folders for root in IMAGE_ROOTS)
        )

    def records(self, split: str) -> list[Record]:
        """Every image of a split, sorted by key; ``test`` and ``unlabeled`` may come without labels.

        Captions are in the order of their file; boxes of crowds are left out. Raises UserError for a split that is
        absent, empty or labelled in part, and for a damaged file of captions or boxes.
        """
        folder = FOLDERS.get(split, split)
        require_split(split, self.splits(), self.tree.at(folder))
        image_folder = self._first_folder(IMAGE_ROOTS, folder)
        label_folder = self._first_folder(LABEL_ROOTS, folder)
        image = Place(image_folder, (".jpg",))
        label = Place(label_folder, (".png",), expected=f"{self.tree.at(LABEL_ROOTS[0])}{folder}/*.png")
        images, labels = image.find(self.tree), self._labels(folder)
        check_split(self.tree, split, images, labels, image, label, unlabelled_splits=UNLABELLED)
        captions = read_captions(self.tree, f"annotations/captions_{folder}.json", stem)
        boxes = read_boxes(self.tree, f"annotations/instances_{folder}.json", stem)

        def facts_of(name: str, _path: str) -> Facts:
            return Facts({}, tuple(captions.get(name, ())), tuple(boxes.get(name, ())))

        return records_of(split, images, labels, facts_of)

    def annotations(self, record: Record) -> Annotations:
        """Train ids uint8 [H, W] (0..170, 255); see `Dataset`."""
        if record.label is None:
            return Annotations()
        ids, where = read_label_ids(self.tree, record.label), self.tree.at(record.label)
        if record.label.endswith(TRAIN_IDS_SUFFIX):
            return Annotations(map_ids(ids, _IDENTITY, _IS_TRAIN_ID, where))
        return Annotations(map_ids(ids, _TRAIN_IDS, _IS_RAW_ID, where))

    def _first_folder(self, roots: tuple[str, ...], folder: str) -> str:
        return next((f"{root}{folder}" for root in roots if folder in self.tree.folders(root.rstrip("/"))), folder)

    def _labels(self, folder: str) -> dict[str, str]:
        files = self.tree.files(self._first_folder(LABEL_ROOTS, folder), ".png")
        converted = [path for path in files if path.endswith(TRAIN_IDS_SUFFIX)]
        raw = [path for path in files if not path.endswith(TRAIN_IDS_SUFFIX)]
        return by_name(converted, lambda path: stem(path.removesuffix(TRAIN_IDS_SUFFIX))) | by_name(raw, stem)
