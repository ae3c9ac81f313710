"""The working size, and the part of an image that each sample shows."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import Field, model_validator

from augment.options import Options
from pipeline.datasets.record import RecordError, Size

LATENT_STRIDE = 8
# Least number of pixels, for each one that is needed, in a photograph decoded at 1/2, 1/4 or 1/8:
# docs/datasets/geometry.md.
REDUCTION_MARGIN = 2

Mode: TypeAlias = Literal["resize", "crop", "random_crop", "letterbox", "tiles"]
Resample: TypeAlias = Literal["bilinear", "area"]


@dataclass(frozen=True)
class Region:
    """A rectangle of whole pixels, counted from the left and the top edge."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class View:
    """What one sample shows: ``region`` of its source, in pixels of the file, fills ``content`` of the sample.

    ``content`` is the whole sample in every mode but letterbox.
    """

    key: str
    region: Region
    content: Region


class Tiles(Options):
    """A grid of equal tiles that large images are cut into."""

    rows: int = Field(ge=1, le=64, description="tiles from top to bottom")
    columns: int = Field(ge=1, le=64, description="tiles from left to right")
    overlap: float = Field(
        default=0.0, ge=0, le=0.9, description="least share of its side that a tile has in common with its neighbour"
    )

    def reach(self, count: int) -> float:
        """Length of ``count`` tiles with overlap, in tiles without."""
        return 1 + (count - 1) * (1 - self.overlap)

    def spans(self, length: int, count: int) -> list[tuple[int, int]]:
        """Start and size of ``count`` tiles that together cover a side of ``length`` pixels."""
        size = min(length, -int(-length // self.reach(count)))
        # Starts are whole pixels, so that two of them may be a pixel too far apart.
        steps = max(count - 1, 1)
        while size < length and math.ceil((length - size) / steps) > size * (1 - self.overlap) + 1e-9:
            size += 1
        return [(i * (length - size) // steps, size) for i in range(count)]


class SizeOptions(Options):
    """The working size of image, label and layout; both sides are multiples of the latent stride 8."""

    # A strided convolution would drop a remainder silently. A backbone of any patch is fed multiples of the same 8.
    height: int = Field(multiple_of=LATENT_STRIDE, ge=32, le=2048, description="pixels")
    width: int = Field(multiple_of=LATENT_STRIDE, ge=32, le=4096, description="pixels")


class Geometry(SizeOptions):
    """The working size, and how images of other sizes and proportions are brought to it."""

    mode: Mode = Field(
        default="resize",
        description="'resize' stretches the image; 'crop' shows the largest centred part of these proportions, "
        "'random_crop' a smaller one anywhere; 'letterbox' shows the whole between bars; 'tiles' makes many samples "
        "of each image",
    )
    resample: Resample = Field(
        default="bilinear", description="filter of images; 'area' is the mean of what is covered"
    )
    smallest: float = Field(
        default=0.5, gt=0, le=1, description="for random_crop: side of the smallest part, as a share of the largest's"
    )
    tiles: Tiles | None = Field(default=None, description="for mode 'tiles': the grid")
    reduced_jpeg: bool = Field(
        default=True,
        description="decode JPEG images at 1/2 to 1/8 where twice the pixels needed are left, for 'bilinear'; faster",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Geometry:
        if (self.mode == "tiles") != (self.tiles is not None):
            raise ValueError(
                f"mode {self.mode!r} takes no tiles section"
                if self.tiles
                else "mode 'tiles' needs tiles={rows: 2, columns: 3, overlap: 0.25} or other numbers"
            )
        if self.smallest != type(self).model_fields["smallest"].default and self.mode != "random_crop":
            raise ValueError(f"smallest is for mode 'random_crop', not {self.mode!r}")
        return self

    def fingerprint_inputs(self) -> dict[str, dict[str, Any]]:
        """What changes samples apart from their size, for a fingerprint; empty where images are stretched whole."""
        inputs = self.model_dump(exclude_defaults=True, exclude={"height", "width", "reduced_jpeg"})
        # Older stores, of full decodes, do not name it. It changes nothing for 'area'.
        if self.reduced_jpeg and self.resample == "bilinear":
            inputs["reduced_jpeg"] = True
        return {"geometry": inputs} if inputs else {}

    @property
    def shape(self) -> Size:
        """(height, width), as numpy counts."""
        return self.height, self.width

    @property
    def views_per_image(self) -> int:
        """Samples of each image."""
        return self.tiles.rows * self.tiles.columns if self.tiles else 1

    @property
    def at_least(self) -> Size | None:
        """Least size (height, width) of a decoded image that keeps every view of it sharp; None for its full size.

        ``area`` takes the full size: fractional areas would not fall on whole pixels of a reduced image.
        """
        if not self.reduced_jpeg or self.resample == "area":
            return None
        down = across = float(REDUCTION_MARGIN)
        if self.tiles:
            down, across = down * self.tiles.reach(self.tiles.rows), across * self.tiles.reach(self.tiles.columns)
        elif self.mode == "random_crop":
            down, across = down / self.smallest, across / self.smallest
        return -int(-self.height * down // 1), -int(-self.width * across // 1)

    def keys(self, key: str) -> list[str]:
        """The keys of the samples of the image ``key``, known before it is read."""
        if not self.tiles:
            return [key]
        return [f"{key}_r{row}_c{column}" for row in range(self.tiles.rows) for column in range(self.tiles.columns)]

    def views(self, key: str, size: Size) -> list[View]:
        """What the samples of the image ``key`` of this size (height, width) show, in the order of ``keys``.

        Raises RecordError where a tile would be enlarged, or the image is smaller than the latent stride.
        """
        height, width = size
        if min(size) < LATENT_STRIDE:
            raise RecordError(f"image too small: {height}x{width} pixels (height x width), less than {LATENT_STRIDE}")
        whole = Region(0, 0, self.width, self.height)
        match self.mode:
            case "resize":
                return [View(key, Region(0, 0, width, height), whole)]
            case "crop":
                return [View(key, placed(window(size, self.shape), size), whole)]
            case "random_crop":
                return [View(key, self._random(key, size), whole)]
            case "letterbox":
                return [View(key, Region(0, 0, width, height), placed(window(self.shape, size), self.shape))]
            case "tiles":
                regions = self._grid(size)
                return [View(name, region, whole) for name, region in zip(self.keys(key), regions, strict=True)]

    def _random(self, key: str, size: Size) -> Region:
        # From a digest of the key: another release may change the stream of a random generator.
        digest = hashlib.sha256(f"random_crop {key}".encode()).digest()
        share, down, across = (int.from_bytes(digest[i : i + 6]) / 2**48 for i in (0, 6, 12))
        scale = self.smallest + (1 - self.smallest) * share
        height, width = (max(1, round(side * scale)) for side in window(size, self.shape))
        return placed((height, width), size, down, across)

    def _grid(self, size: Size) -> list[Region]:
        assert self.tiles is not None
        rows, columns = self.tiles.spans(size[0], self.tiles.rows), self.tiles.spans(size[1], self.tiles.columns)
        height, width = rows[0][1], columns[0][1]
        if height < self.height or width < self.width:
            raise RecordError(
                f"tile too small: {height}x{width} pixels (height x width) of an image of {size[0]}x{size[1]} would be "
                f"enlarged to {self.height}x{self.width}: take fewer geometry.tiles, or a smaller geometry"
            )
        return [Region(left, top, width, height) for top, _ in rows for left, _ in columns]


def window(size: Size, shape: Size) -> Size:
    """The largest height and width within ``size`` with the proportions of ``shape``, in whole pixels."""
    height, width = size
    if width * shape[0] >= height * shape[1]:
        return height, min(width, max(1, (2 * height * shape[1] + shape[0]) // (2 * shape[0])))
    return min(height, max(1, (2 * width * shape[0] + shape[1]) // (2 * shape[1]))), width


def placed(inner: Size, outer: Size, down: float = 0.5, across: float = 0.5) -> Region:
    """A rectangle within another; ``down`` and ``across`` run from 0, its upper and left edge, towards 1."""
    (height, width), (outer_height, outer_width) = inner, outer
    return Region(int((outer_width - width + 1) * across), int((outer_height - height + 1) * down), width, height)
