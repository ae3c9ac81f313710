"""Cityscapes, as its official archives unpack."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError
from pipeline.datasets.base import Record, RecordError, check_same_size, make_key, sorted_by_key
from pipeline.datasets.folders import check_pairs, found_in, require_root, require_split, subfolders
from pipeline.datasets.images import map_ids, read_image, read_label_ids
from pipeline.taxonomies import CITYSCAPES, Taxonomy, train_id_table
from pipeline.taxonomies.cityscapes import LABEL_IDS, LABELS

IMAGE_SUFFIX = "_leftImg8bit.png"
LABEL_IDS_SUFFIX = "_gtFine_labelIds.png"
TRAIN_IDS_SUFFIX = "_gtFine_labelTrainIds.png"
ATTRIBUTES_SUFFIX = "_attributes.json"

_TRAIN_IDS = train_id_table(LABEL_IDS, CITYSCAPES)
_IS_LABEL_ID = np.arange(256) < len(LABELS)
_IDENTITY = np.arange(256, dtype=np.uint8)
_IS_TRAIN_ID = (np.arange(256) < len(CITYSCAPES)) | (np.arange(256) == CITYSCAPES.ignore_index)


@dataclass(frozen=True)
class Cityscapes:
    """Reader of ``leftImg8bit/<split>/<city>`` and ``gtFine/<split>/<city>``.

    Labels are ``labelIds`` images, or ``labelTrainIds`` where an image has only those. Images that have
    ``attributes/<split>/<city>/<id>_attributes.json`` beside them take their attributes from it; all others
    are photographs. Raises UserError where ``root`` is not such a folder.
    """

    root: Path
    name: str = "cityscapes"
    taxonomy: Taxonomy = CITYSCAPES

    def __post_init__(self) -> None:
        require_root(self.root, "leftImg8bit/ and gtFine/")
        if not self.splits():
            raise UserError(
                f"{self.root} is no Cityscapes folder: expected "
                f"leftImg8bit/<split>/<city>/*{IMAGE_SUFFIX}, found {found_in(self.root)}"
            )

    def splits(self) -> list[str]:
        """Names of the folders in ``leftImg8bit``, sorted."""
        return subfolders(self.root / "leftImg8bit")

    def records(self, split: str) -> list[Record]:
        """Every image of a split, sorted by key; only a ``test`` split may come without labels.

        Raises UserError for a split that is absent, empty or labelled in part, and for a broken attribute
        file.
        """
        image_folder, label_folder = self.root / "leftImg8bit" / split, self.root / "gtFine" / split
        require_split(split, self.splits(), image_folder)
        images = _files(image_folder, IMAGE_SUFFIX)
        labels = _files(label_folder, TRAIN_IDS_SUFFIX) | _files(label_folder, LABEL_IDS_SUFFIX)
        check_pairs(
            split,
            images,
            labels,
            f"{image_folder}/<city>/<id>{IMAGE_SUFFIX}",
            f"{label_folder}/<city>/<id>{LABEL_IDS_SUFFIX} or <id>{TRAIN_IDS_SUFFIX}",
        )
        described = _files(self.root / "attributes" / split, ATTRIBUTES_SUFFIX)
        return sorted_by_key(
            [
                Record(
                    key=make_key(split, Path(identity).name),
                    split=split,
                    image=image.relative_to(self.root).as_posix(),
                    label=labels[identity].relative_to(self.root).as_posix() if identity in labels else None,
                    attributes=_attributes(described.get(identity)),
                )
                for identity, image in images.items()
            ]
        )

    def load(self, record: Record) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Read RGB uint8 [H, W, 3] and train ids uint8 [H, W] (0..18, 255), None for an unlabelled image.

        Raises RecordError naming the file that cannot be read, has unknown ids, or has another size.
        """
        image = read_image(self.root / record.image)
        if record.label is None:
            return image, None
        path = self.root / record.label
        ids = read_label_ids(path)
        if path.name.endswith(TRAIN_IDS_SUFFIX):
            label = map_ids(ids, _IDENTITY, _IS_TRAIN_ID, path)
        else:
            label = map_ids(ids, _TRAIN_IDS, _IS_LABEL_ID, path)
        check_same_size(image, label, record)
        return image, label


def _files(folder: Path, suffix: str) -> dict[str, Path]:
    """Files of every city that end in ``suffix``, by city and image id."""
    return {
        f"{path.parent.name}/{path.name.removesuffix(suffix)}": path for path in sorted(folder.glob(f"*/*{suffix}"))
    }


def _attributes(path: Path | None) -> dict[str, str]:
    if path is None:
        return {"medium": "photo"}
    try:
        attributes = json.loads(path.read_bytes())
    except ValueError as error:
        raise RecordError(f"damaged attributes: {path}: {error}") from error
    if not isinstance(attributes, dict) or not all(isinstance(value, str) for value in attributes.values()):
        raise RecordError(f"wrong attributes: {path} must be a JSON object of strings")
    return {"medium": "photo", **attributes}
