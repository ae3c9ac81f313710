"""What a dataset on disk may be; by itself, so that a configuration can be read without the readers."""

from __future__ import annotations

from typing import Literal

DatasetKind = Literal[
    "rendered",
    "cityscapes",
    "cityscapes-coarse",
    "camvid",
    "camvid-32",
    "folder",
    "ade20k",
    "ade20k-full",
    "bdd100k",
    "bdd100k-100k",
    "coco-stuff",
    "coco",
]
