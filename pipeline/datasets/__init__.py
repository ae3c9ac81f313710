"""Labelled image sets as they lie on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pipeline.datasets.base import Box, Dataset, Frame, Record, RecordError
from pipeline.datasets.camvid import CamVid
from pipeline.datasets.camvid32 import CamVid32
from pipeline.datasets.cityscapes import Cityscapes
from pipeline.datasets.folder import Folder, FolderOptions
from pipeline.datasets.geometry import Geometry, resize_frame
from pipeline.datasets.tree import Tree

DatasetKind = Literal[
    "cityscapes",
    "cityscapes-coarse",
    "camvid",
    "camvid-32",
    "folder",
]

__all__ = [
    "Box",
    "CamVid",
    "CamVid32",
    "Cityscapes",
    "Dataset",
    "DatasetKind",
    "Folder",
    "FolderOptions",
    "Frame",
    "Geometry",
    "Record",
    "RecordError",
    "open_dataset",
    "resize_frame",
]


def open_dataset(kind: DatasetKind, root: str | Path, folder: FolderOptions | None = None) -> Dataset:
    """Open the dataset that lies in ``root``, a folder or any fsspec URL; little is read but folder names.

    ``folder`` says where things lie in one of kind ``folder``, and is not looked at for any other.
    Raises UserError where the folder does not hold a dataset of that kind, saying what was expected where.
    """
    tree = Tree(root)
    match kind:
        case "cityscapes":
            return Cityscapes(tree)
        case "cityscapes-coarse":
            return Cityscapes(tree, kind, "gtCoarse")
        case "camvid":
            return CamVid(tree)
        case "camvid-32":
            return CamVid32(tree)
        case "folder":
            return Folder(tree, folder or FolderOptions())
