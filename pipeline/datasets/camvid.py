"""CamVid with 11 classes, in the folder layout of the SegNet tutorial."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError
from pipeline.datasets.base import Record, check_same_size, make_key, sorted_by_key
from pipeline.datasets.folders import check_pairs, found_in, require_root, require_split, subfolders
from pipeline.datasets.images import map_ids, read_image, read_label_ids
from pipeline.taxonomies import CAMVID, Taxonomy

LABEL_FOLDER_SUFFIX = "annot"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
USUAL_SPLITS = ("train", "val", "test")
UNLABELLED_ID = 11
# The sequence that was filmed at nightfall; all others were filmed in daylight.
DUSK_SEQUENCE = "0001TP_"

_TRAIN_IDS = np.arange(256, dtype=np.uint8)
_TRAIN_IDS[UNLABELLED_ID] = CAMVID.ignore_index
_IS_INDEX = np.arange(256) <= UNLABELLED_ID


@dataclass(frozen=True)
class CamVid:
    """Reader of ``<split>/<name>.png|jpg`` with class indices in ``<split>annot/<name>.png``.

    Raises UserError where ``root`` is not such a folder.
    """

    root: Path
    name: str = "camvid"
    taxonomy: Taxonomy = CAMVID

    def __post_init__(self) -> None:
        require_root(self.root, "train/, trainannot/, val/, valannot/")
        if not self.splits():
            raise UserError(
                f"{self.root} is no CamVid folder: expected train/*.png and trainannot/*.png, "
                f"found {found_in(self.root)}"
            )

    def splits(self) -> list[str]:
        """Names of the folders that have a ``<name>annot`` beside them or a usual split's name, sorted."""
        folders = subfolders(self.root)
        return [name for name in folders if name + LABEL_FOLDER_SUFFIX in folders or name in USUAL_SPLITS]

    def records(self, split: str) -> list[Record]:
        """Every image of a split, sorted by key; only a ``test`` split may come without labels.

        Raises UserError for a split that is absent, empty or labelled in part.
        """
        image_folder, label_folder = self.root / split, self.root / f"{split}{LABEL_FOLDER_SUFFIX}"
        require_split(split, self.splits(), image_folder)
        files = [path for path in sorted(image_folder.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES]
        labels = {path.stem: path for path in sorted(label_folder.glob("*.png"))}
        check_pairs(
            split,
            {path.stem: path for path in files},
            labels,
            f"{image_folder}/*.png or *.jpg",
            f"{label_folder}/*.png",
        )
        return sorted_by_key(
            [
                Record(
                    key=make_key(split, path.stem),
                    split=split,
                    image=path.relative_to(self.root).as_posix(),
                    label=labels[path.stem].relative_to(self.root).as_posix() if labels else None,
                    attributes={
                        "medium": "photo",
                        "time_of_day": "dusk" if path.name.startswith(DUSK_SEQUENCE) else "day",
                    },
                )
                for path in files
            ]
        )

    def load(self, record: Record) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Read RGB uint8 [H, W, 3] and train ids uint8 [H, W] (0..10, 255), None for an unlabelled image.

        Raises RecordError naming the file that cannot be read, has unknown ids, or has another size.
        """
        image = read_image(self.root / record.image)
        if record.label is None:
            return image, None
        path = self.root / record.label
        label = map_ids(read_label_ids(path), _TRAIN_IDS, _IS_INDEX, path)
        check_same_size(image, label, record)
        return image, label
