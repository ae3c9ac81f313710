"""Options of a dataset: where its images come from, how they are read, and which of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from augment.errors import UserError
from augment.options import DONE, Options, Positive, Splits, Url
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.files.decoding import MAX_PIXELS, BitDepth, Decoding, MaxPixels
from pipeline.datasets.intake import HeldOut, Intake, Listing
from pipeline.datasets.readers.coco import CocoOptions
from pipeline.datasets.readers.folder_options import FolderOptions
from pipeline.datasets.record import TRAIN_SPLIT
from pipeline.datasets.registry import KindOptions, kinds, open_dataset, portable_kind, require_kind
from pipeline.datasets.sampling_options import SamplingOptions
from pipeline.scenes.options import RenderOptions
from pipeline.taxonomies import TAXONOMIES


def _kind(kind: str, info: ValidationInfo) -> str:
    kind = portable_kind(kind)
    if info.context != DONE:
        try:
            require_kind(kind)
        except UserError as error:
            raise ValueError(str(error)) from error
    return kind


def _taxonomy(name: str) -> str:
    if name not in TAXONOMIES:
        raise ValueError(f"{name!r} is no known taxonomy; give one of {', '.join(sorted(TAXONOMIES))}")
    return name


DatasetKind = Annotated[str, AfterValidator(_kind)]
TaxonomyName = Annotated[str, AfterValidator(_taxonomy)]


class DatasetOptions(Options):
    """Where the real images and their labels come from."""

    kind: DatasetKind = Field(
        description=f"layout of the dataset on disk, one of {', '.join(kinds())}; or the import path of a reader of "
        "your own, as my_package.my_module:MyDataset"
    )
    root: Url | None = Field(
        default=None,
        validate_default=True,
        description="its folder or URL, e.g. s3://bucket/cityscapes; null for kind 'rendered'",
    )
    splits: Splits = Field(default=(TRAIN_SPLIT, "val"), description="splits to read; 'train' must be one of them")
    limit: dict[str, Positive] = Field(
        default={}, description="split -> the most images to take of it, evenly spaced over it"
    )
    sampling: SamplingOptions | None = Field(default=None, description="which of those to take; null takes all")
    taxonomy: TaxonomyName | None = Field(
        default=None, description="classes to translate labels into, such as 'cityscapes'; null keeps the dataset's own"
    )
    max_pixels: MaxPixels = MAX_PIXELS
    bit_depth: BitDepth = None
    only_labelled: bool = Field(
        default=False,
        description="whether images without a label are left out and counted, and labels without an image",
    )
    held_out: HeldOut | None = Field(
        default=None, description="what to hold out of 'train' where the dataset has no 'val'; null holds out nothing"
    )
    folder: FolderOptions | None = Field(default=None, description="for kind 'folder': where its files are")
    coco: CocoOptions | None = Field(default=None, description="for kind 'coco': what polygons mean")
    render: RenderOptions | None = Field(default=None, description="for kind 'rendered': what to render")

    @property
    def kind_options(self) -> KindOptions | None:
        """The options of the dataset's own kind; None where it has none, or none are given."""
        return self.folder or self.coco

    @property
    def decoding(self) -> Decoding:
        """How image files are decoded."""
        return Decoding(max_pixels=self.max_pixels, bit_depth=self.bit_depth)

    @property
    def intake(self) -> Intake:
        """Which images of the dataset are read, in which split."""
        return Intake(self.only_labelled, self.held_out)

    def open(self, root: str | Path | None = None) -> Dataset:
        """Open the dataset in ``root`` (None: its own); see `open_dataset`."""
        place = self.root if root is None else root
        if place is None:
            raise UserError(f"a dataset of kind {self.kind!r} needs a root: give the folder that it is in")
        return open_dataset(self.kind, place, self.kind_options, self.decoding)

    def list_images(self, dataset: Dataset, splits: Sequence[str] | None = None) -> Listing:
        """The images of these splits (None: of all that the options name); raises UserError as `Intake.listing`."""
        return self.intake.listing(dataset, self.splits if splits is None else splits)

    @field_validator("root")
    @classmethod
    def _given(cls, root: str | None, section: ValidationInfo) -> str | None:
        # An error of this key, which has another name where several datasets are read.
        if root is None and (kind := section.data.get("kind", "rendered")) != "rendered":
            raise ValueError(f"give the folder or URL that kind {kind!r} is read from")
        return root

    @model_validator(mode="after")
    def _consistent(self) -> DatasetOptions:
        self._check_sections()
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

    def _check_sections(self) -> None:
        """Raise ValueError for a section that the kind does not take, or that does not fit the splits."""
        sections: dict[str, Any] = {"folder": self.folder, "coco": self.coco}
        for name, section in sections.items():
            if section is not None and self.kind != name:
                raise ValueError(f"kind {self.kind!r} takes no {name} section")
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


class DatasetSettings(Options):
    """A configuration of a dataset alone, as the overrides of `lumen inspect` give it."""

    dataset: DatasetOptions
