"""Labelled image sets as they lie on disk."""

from __future__ import annotations

from pathlib import Path

from pipeline.datasets.ade20k import Ade20k
from pipeline.datasets.ade20k_full import Ade20kFull
from pipeline.datasets.base import Box, Frame, Record, RecordError
from pipeline.datasets.bdd100k import Bdd100k
from pipeline.datasets.camvid import CamVid
from pipeline.datasets.camvid32 import CamVid32
from pipeline.datasets.cityscapes import Cityscapes
from pipeline.datasets.coco import Coco
from pipeline.datasets.coco_stuff import CocoStuff
from pipeline.datasets.dataset import Annotations, Dataset
from pipeline.datasets.folder import Folder, FolderOptions
from pipeline.datasets.folders import unpacked
from pipeline.datasets.geometry import Geometry, Mode, Resample, Tiles, View
from pipeline.datasets.resampling import resize_frame, show
from pipeline.datasets.tree import Tree
from pipeline.kinds import DatasetKind, Decoding

__all__ = [
    "Ade20k",
    "Ade20kFull",
    "Annotations",
    "Bdd100k",
    "Box",
    "CamVid",
    "CamVid32",
    "Cityscapes",
    "Coco",
    "CocoStuff",
    "Dataset",
    "DatasetKind",
    "Decoding",
    "Folder",
    "FolderOptions",
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


def open_dataset(
    kind: DatasetKind, root: str | Path, folder: FolderOptions | None = None, decoding: Decoding | None = None
) -> Dataset:
    """Open the dataset that lies in ``root``, a folder or any fsspec URL; little is read but folder names.

    ``folder`` says where things are in one of kind ``folder``, and is not looked at for any other; ``decoding`` how its
    images are decoded. Rendered scenes are on disk as Cityscapes is. Raises UserError where the folder does not hold a
    dataset of that kind, saying what was expected where.
    """
    tree = Tree(root, decoding)
    match kind:
        case "rendered":
            return Cityscapes(tree, name="rendered")
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
        case "ade20k":
            return Ade20k(unpacked(tree, "ADEChallengeData2016"))
        case "ade20k-full":
            return Ade20kFull(unpacked(tree, "ADE20K_2021_17_01"))
        case "bdd100k":
            return Bdd100k(unpacked(tree, "bdd100k"), "10k")
        case "bdd100k-100k":
            return Bdd100k(unpacked(tree, "bdd100k"), "100k")
        case "coco-stuff":
            return CocoStuff(tree)
        case "coco":
            return Coco(tree)
