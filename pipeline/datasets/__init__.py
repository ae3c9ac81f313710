"""Labelled image sets as they lie on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pipeline.datasets.base import Dataset, Record, RecordError
from pipeline.datasets.camvid import CamVid
from pipeline.datasets.cityscapes import Cityscapes
from pipeline.datasets.geometry import Geometry, resize_pair

DatasetKind = Literal["rendered", "cityscapes", "camvid"]

__all__ = [
    "CamVid",
    "Cityscapes",
    "Dataset",
    "DatasetKind",
    "Geometry",
    "Record",
    "RecordError",
    "open_dataset",
    "resize_pair",
]


def open_dataset(kind: DatasetKind, root: str | Path) -> Dataset:
    """Open the dataset that lies in ``root``; nothing is read but folder names.

    Rendered scenes lie on disk as Cityscapes does. Raises UserError where the folder does not hold a dataset of that
    kind, saying what was expected where.
    """
    folder = Path(root).expanduser()
    match kind:
        case "rendered":
            return Cityscapes(folder, name="rendered")
        case "cityscapes":
            return Cityscapes(folder)
        case "camvid":
            return CamVid(folder)
