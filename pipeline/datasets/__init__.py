"""Labelled image sets as they lie on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pipeline.datasets.base import Box, Dataset, Frame, Record, RecordError
from pipeline.datasets.camvid import CamVid
from pipeline.datasets.cityscapes import Cityscapes
from pipeline.datasets.geometry import Geometry, Mode, Resample, Tiles, View
from pipeline.datasets.resampling import resize_frame, show
from pipeline.datasets.tree import Tree

DatasetKind = Literal["cityscapes", "camvid"]

__all__ = [
    "Box",
    "CamVid",
    "Cityscapes",
    "Dataset",
    "DatasetKind",
    "Frame",
    "Geometry",
    "Mode",
    "Record",
    "RecordError",
    "Resample",
    "Tiles",
    "View",
    "open_dataset",
    "resize_frame",
    "show",
]


def open_dataset(kind: DatasetKind, root: str | Path) -> Dataset:
    """Open the dataset that lies in ``root``, a folder or any fsspec URL; nothing is read but folder names.

    Raises UserError where the folder does not hold a dataset of that kind, saying what was expected where.
    """
    tree = Tree(root)
    match kind:
        case "cityscapes":
            return Cityscapes(tree)
        case "camvid":
            return CamVid(tree)
