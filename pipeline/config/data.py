"""Where images come from, which of them are taken, and how they come to the working size."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from augment.options import AbsolutePath, Options, Positive, PositiveFloat, Seed, Splits
from pipeline.config.sections import DONE, TRAIN_SPLIT, TaxonomyName, Url
from pipeline.datasets.kinds import MAX_PIXELS, DatasetKind, Decoding


class RenderConfig(Options):
    """Scenes that `dataset.kind: rendered` draws into `<workspace>/scenes` where they are absent."""

    train: int = Field(default=64, ge=1, le=100_000, description="training scenes")
    val: int = Field(default=16, ge=1, le=100_000, description="validation scenes")
    height: int = Field(default=192, ge=64, le=2048, description="height of a rendered scene in pixels")
    width: int = Field(default=384, ge=64, le=4096, description="width of a rendered scene in pixels")
    seed: Seed = Field(default=0, description="seed of the scenes")


def folder_template(path: str) -> str:
    rest = path.replace("{split}", "", 1)
    if not path or path.startswith("/") or ".." in path.split("/") or "{" in rest or "}" in rest:
        raise ValueError(f"{path!r}: give a folder below the dataset's root, with at most one {{split}} in it")
    return path


FolderTemplate = Annotated[str, AfterValidator(folder_template)]


class FolderConfig(Options):
    """Where things lie in a dataset of kind 'folder', below its root; {split} stands for a split's name."""

    images: FolderTemplate = Field(default="images/{split}", description="without {split} all images are of 'train'")
    masks: FolderTemplate = Field(default="masks/{split}", description="class values, PNG; named as the images")
    instances: FolderTemplate = Field(default="instances/{split}", description="object numbers, 16-bit PNG; optional")
    image_suffix: str = Field(
        default="", description="what follows the name in image files, e.g. '_leftImg8bit', '_img.png' or '.jpg'"
    )
    mask_suffix: str = Field(
        default="", description="what follows the name in files of masks and instances, e.g. '_mask' or '_mask.png'"
    )
    lists: FolderTemplate | None = Field(
        default=None,
        description="text file of each split's names, a name a line, e.g. 'ImageSets/Segmentation/{split}.txt'; null "
        "takes every image",
    )
    classes: str | None = Field(
        default=None,
        description="file of class names; null is classes.txt, classes.csv or classes.json in the root, or "
        "_classes.csv in the root or beside the images of each split",
    )
    ignore_index: int | None = Field(
        default=None, ge=0, le=65535, description="value in masks that is no class; null is 255, or 65535 in 16 bits"
    )
    partly_labelled: bool = Field(default=False, description="whether images of a split may lack masks")


class CocoConfig(Options):
    """What masks mean in a dataset of kind 'coco' with polygons and no panoptic file."""

    background: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="class of the pixels that no object covers, a category's name or a new one, such as 'background'; "
        "null leaves them without a class (255)",
    )


def pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from error
    return text


class HeldOutConfig(Options):
    """Images of 'train' that are held out as a split of their own, for a dataset that comes without one."""

    share: float = Field(default=0.1, gt=0, lt=1, description="share of the images, or of their groups, chosen by hash")
    split: Annotated[str, Field(min_length=1)] = Field(default="val", description="name of the split that they become")
    groups: Annotated[str, AfterValidator(pattern)] | None = Field(
        default=None,
        description="regular expression searched for in each image's path: images for which its first group, or else "
        "the whole of it, finds the same text stay together, such as 'train/([^/]+)/' for cities; null parts any",
    )
    seed: Seed = Field(default=0, description="seed of the hash")


class RareClassConfig(Options):
    """Rare-class sampling: class c is drawn with P(c) ~ exp((1 - f_c) / T), f_c its share of the pixels."""

    samples: Positive = Field(description="images to take of each split, all of them different")
    temperature: PositiveFloat = Field(default=0.01, description="T: the lower, the more often the rarest classes")


class SamplingConfig(Options):
    """Which images are taken; exactly one of rare_class, per_class, keys and fraction says how."""

    rare_class: RareClassConfig | None = Field(default=None, description="more of what shows rare classes")
    per_class: Positive | None = Field(default=None, description="at least so many images of each class, if there are")
    keys: tuple[str, ...] | AbsolutePath | None = Field(
        default=None, description="these keys, such as train_0001 or 0001.png, or a file with a key a line"
    )
    fraction: float | None = Field(default=None, gt=0, le=1, description="a random share of the images")
    splits: Splits = Field(default=(TRAIN_SPLIT,), description="splits to sample, each by itself; others stay whole")
    seed: Seed = Field(default=0, description="seed of what is drawn")

    @field_validator("keys", mode="before")
    @classmethod
    def _quoted(cls, keys: object) -> object:
        # YAML reads 0017 as another number, so that none can be taken for the name that it was.
        if isinstance(keys, list | tuple) and (wrong := [key for key in keys if not isinstance(key, str)]):
            raise ValueError(f"{wrong[0]!r} is no text: write every key in quotes, such as 'train_0017' or '0017'")
        return keys

    @model_validator(mode="after")
    def _one_way(self, info: ValidationInfo) -> SamplingConfig:
        given = [name for name in ("rare_class", "per_class", "keys", "fraction") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give one of rare_class, per_class, keys and fraction, not {' and '.join(given) or 'none'}"
            )
        if info.context != DONE and self.named is not None and not self.named:
            raise ValueError("keys: there are none")
        return self

    @property
    def by_class(self) -> bool:
        """Whether labels must be read to choose."""
        return self.rare_class is not None or self.per_class is not None

    @cached_property
    def named(self) -> tuple[str, ...] | None:
        """The keys asked for, read from their file where they are in one."""
        if not isinstance(self.keys, Path):
            return self.keys
        try:
            lines = self.keys.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"keys: {self.keys} cannot be read as a list of keys ({error})") from error
        return tuple(line.strip() for line in lines if line.strip())


class DatasetConfig(Options):
    """Where the real images and their labels come from."""

    kind: DatasetKind = Field(description="layout of the dataset on disk")
    root: Url | None = Field(
        default=None,
        validate_default=True,
        description="its folder or URL, e.g. s3://bucket/cityscapes; none where it is rendered",
    )
    splits: Splits = Field(default=(TRAIN_SPLIT, "val"), description="splits to read; 'train' must be one of them")
    limit: dict[str, Positive] = Field(
        default={}, description="at most so many images of a split, evenly spaced over it"
    )
    sampling: SamplingConfig | None = Field(default=None, description="which of those to take; null takes all")
    taxonomy: TaxonomyName | None = Field(
        default=None, description="classes to translate labels into, such as 'cityscapes'; null keeps the dataset's own"
    )
    max_pixels: int = Field(
        default=MAX_PIXELS,
        ge=1,
        le=1 << 30,
        description="pixels of the largest image or mask that is decoded; larger ones are quarantined",
    )
    bit_depth: int | None = Field(
        default=None,
        ge=8,
        le=16,
        description="bits that count in images of 16 bits a channel, such as 12; null is what the file states, else 16",
    )
    only_labelled: bool = Field(
        default=False, description="whether images without a label are left out and counted, as are labels alone"
    )
    held_out: HeldOutConfig | None = Field(
        default=None, description="what to hold out of 'train' where the dataset has no 'val'; null takes it as it is"
    )
    folder: FolderConfig | None = Field(default=None, description="for kind 'folder': where things lie in it")
    coco: CocoConfig | None = Field(default=None, description="for kind 'coco': what polygons mean")
    render: RenderConfig | None = Field(default=None, description="for kind 'rendered': what to draw")

    @property
    def decoding(self) -> Decoding:
        """How image files are decoded."""
        return Decoding(self.max_pixels, self.bit_depth)

    @property
    def beyond_listing(self) -> dict[str, int]:
        """What changes the pixels that are read, for a fingerprint; nothing where files are read as they state."""
        return {} if self.bit_depth is None else {"bit_depth": self.bit_depth}

    @field_validator("root")
    @classmethod
    def _given(cls, root: str | None, section: ValidationInfo) -> str | None:
        # Said of the key itself, which is another one where several datasets are read.
        if root is None and (kind := section.data.get("kind", "rendered")) != "rendered":
            raise ValueError(f"give the folder or URL that kind {kind!r} is read from")
        return root

    @model_validator(mode="after")
    def _consistent(self) -> DatasetConfig:
        if self.folder is not None and self.kind != "folder":
            raise ValueError(f"kind {self.kind!r} takes no folder section")
        if self.coco is not None and self.kind != "coco":
            raise ValueError(f"kind {self.kind!r} takes no coco section")
        if self.held_out is not None:
            if self.kind == "rendered":
                raise ValueError("kind 'rendered' takes no held_out section: scenes of 'val' are rendered")
            if self.held_out.split == TRAIN_SPLIT or self.held_out.split not in self.splits:
                raise ValueError(
                    f"held_out.split: {self.held_out.split!r} must be one of the splits {list(self.splits)} other than "
                    f"{TRAIN_SPLIT!r}"
                )
        if self.kind == "rendered":
            if unknown := sorted(set(self.splits) - {TRAIN_SPLIT, "val"}):
                raise ValueError(f"splits: rendered scenes have 'train' and 'val', not {unknown}")
            if self.root is not None or self.render is None:
                raise ValueError(
                    "kind 'rendered' takes a render section and no root; to read a folder choose another kind, "
                    "such as cityscapes"
                )
        elif self.render is not None:
            raise ValueError(f"kind {self.kind!r} takes no render section")
        if TRAIN_SPLIT not in self.splits:
            raise ValueError(f"splits {list(self.splits)} lack {TRAIN_SPLIT!r}, which every fit is made on")
        if unknown := sorted(set(self.limit) - set(self.splits)):
            raise ValueError(
                f"limit names {unknown}, which are not among the splits {list(self.splits)}; "
                "~dataset.limit takes every image"
            )
        if self.sampling and (unknown := sorted(set(self.sampling.splits) - set(self.splits))):
            raise ValueError(f"sampling.splits names {unknown}, which are not among the splits {list(self.splits)}")
        return self


class DatasetSettings(Options):
    """What a command line says of a dataset alone, as that of `lumen inspect` does."""

    dataset: DatasetConfig


class SizeConfig(Options):
    """The working size of image, label and layout; both sides are multiples of the latent stride 8."""

    height: int = Field(multiple_of=8, ge=32, le=2048, description="pixels")
    width: int = Field(multiple_of=8, ge=32, le=4096, description="pixels")


class TilesConfig(Options):
    """A grid of equal tiles that large images are cut into."""

    rows: int = Field(ge=1, le=64, description="tiles from top to bottom")
    columns: int = Field(ge=1, le=64, description="tiles from left to right")
    overlap: float = Field(default=0.0, ge=0, le=0.9, description="share of its side that a tile has of its neighbour")


class GeometryConfig(SizeConfig):
    """The working size, and how images of other sizes and proportions come to it."""

    mode: Literal["resize", "crop", "random_crop", "letterbox", "tiles"] = Field(
        default="resize",
        description="'resize' stretches the image; 'crop' shows the largest centred part of these proportions, "
        "'random_crop' a smaller one anywhere; 'letterbox' shows the whole between bars; 'tiles' makes many samples "
        "of each image",
    )
    resample: Literal["bilinear", "area"] = Field(
        default="bilinear", description="filter of images; 'area' is the mean of what is covered"
    )
    smallest: float = Field(
        default=0.5, gt=0, le=1, description="for random_crop: side of the smallest part, as a share of the largest's"
    )
    tiles: TilesConfig | None = Field(default=None, description="for mode 'tiles': the grid")
    reduced_jpeg: bool = Field(
        default=True,
        description="decode JPEG images at 1/2 to 1/8 where twice the pixels needed are left, for 'bilinear'; faster",
    )

    @model_validator(mode="after")
    def _consistent(self) -> GeometryConfig:
        if (self.mode == "tiles") != (self.tiles is not None):
            raise ValueError(
                f"mode {self.mode!r} takes no tiles section"
                if self.tiles
                else "mode 'tiles' needs tiles={rows: 2, columns: 3, overlap: 0.25} or other numbers"
            )
        if self.smallest != type(self).model_fields["smallest"].default and self.mode != "random_crop":
            raise ValueError(f"smallest is for mode 'random_crop', not {self.mode!r}")
        return self

    def beyond_size(self) -> dict[str, dict[str, Any]]:
        """What changes samples besides their size, for a fingerprint; nothing where images are stretched whole."""
        told = self.model_dump(exclude_defaults=True, exclude={"height", "width", "reduced_jpeg"})
        # Told where it is on, as stores are of full decodes that say nothing of it; it changes nothing for 'area'.
        if self.reduced_jpeg and self.resample == "bilinear":
            told["reduced_jpeg"] = True
        return {"geometry": told} if told else {}


class ShardConfig(Options):
    """How samples lie on disk."""

    samples_per_shard: int = Field(
        default=256, ge=1, le=100_000, description="samples a shard: a work unit of every stage"
    )
    image_format: Literal["png", "jpg", "webp"] = Field(default="png", description="format of images; labels are png")
