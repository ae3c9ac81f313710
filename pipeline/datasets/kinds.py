"""What a dataset on disk may be and how it is decoded; by itself, so that a configuration is read without readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# 8192 x 8192 pixels, or 192 MiB as RGB. A file of a few kilobytes can claim any size.
MAX_PIXELS = 1 << 26

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


@dataclass(frozen=True)
class Decoding:
    """How the image files of a dataset are decoded.

    ``max_pixels`` is the size of the largest image and mask that is decoded. ``bit_depth`` (8..16) is the number of
    bits that count in samples of 16: 12 reads 4095 as white. None takes the depth that a file states, else all 16.
    """

    max_pixels: int = MAX_PIXELS
    bit_depth: int | None = None

    @property
    def max_bytes(self) -> int:
        """Bytes of the largest file: four channels of 16 bits for every pixel, uncompressed."""
        return 8 * self.max_pixels
