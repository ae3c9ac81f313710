"""Labelled image sets on disk."""

from __future__ import annotations

from pipeline.datasets.dataset import Annotations, Dataset
from pipeline.datasets.files.decoding import Decoding
from pipeline.datasets.files.images import map_ids, read_label_colors, read_label_ids
from pipeline.datasets.files.tree import Tree
from pipeline.datasets.geometry import Geometry, Mode, Resample, SizeOptions, Tiles, View
from pipeline.datasets.intake import HeldOut, Intake, LeftOut, Listing
from pipeline.datasets.options import DatasetOptions
from pipeline.datasets.pairing.pairs import check_split
from pipeline.datasets.pairing.places import Place
from pipeline.datasets.readers.ade20k import Ade20k
from pipeline.datasets.readers.ade20k_full import Ade20kFull
from pipeline.datasets.readers.bdd100k import Bdd100k
from pipeline.datasets.readers.camvid import CamVid
from pipeline.datasets.readers.camvid32 import CamVid32
from pipeline.datasets.readers.cityscapes import Cityscapes
from pipeline.datasets.readers.coco import Coco, CocoOptions
from pipeline.datasets.readers.coco_stuff import CocoStuff
from pipeline.datasets.readers.folder import Folder
from pipeline.datasets.readers.folder_options import FolderOptions
from pipeline.datasets.record import TRAIN_SPLIT, Box, Facts, Frame, Record, RecordError, records_of
from pipeline.datasets.registry import KindOptions, kinds, open_dataset, register_dataset
from pipeline.datasets.resampling import resize_frame, show
from pipeline.datasets.sampling_options import SamplingOptions

__all__ = [
    "TRAIN_SPLIT",
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
    "DatasetOptions",
    "Decoding",
    "Facts",
    "Folder",
    "FolderOptions",
    "Frame",
    "Geometry",
    "HeldOut",
    "Intake",
    "KindOptions",
    "LeftOut",
    "Listing",
    "Mode",
    "Place",
    "Record",
    "RecordError",
    "Resample",
    "SamplingOptions",
    "SizeOptions",
    "Tiles",
    "Tree",
    "View",
    "check_split",
    "kinds",
    "map_ids",
    "open_dataset",
    "read_label_colors",
    "read_label_ids",
    "records_of",
    "register_dataset",
    "resize_frame",
    "show",
]
