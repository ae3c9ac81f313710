"""What every dataset reader offers, and what each of its images is called."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal, Protocol, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError
from pipeline.taxonomies import Taxonomy

Role: TypeAlias = Literal["image", "label"]
Label: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
# Height and width in pixels, as numpy counts.
Size: TypeAlias = tuple[int, int]

_NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9_-]+")


class RecordError(UserError):
    """One image, label or attribute file is at fault; the rest of the dataset can still be read.

    The message starts with the kind of fault and a colon, such as "truncated image: ...", and is counted by it.
    """


# There are hundreds of thousands of them in a set.
@dataclass(frozen=True, slots=True)
class Box:
    """An object's rectangle: pixels of its image from the left and the top edge, fractions allowed."""

    category: str
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, eq=False)
class Frame:
    """An image and what its owner says of its pixels.

    ``image`` is RGB uint8 [H, W, 3]; ``label`` train ids [H, W], uint8 or, where the taxonomy has more than 255
    classes, uint16; ``instances`` uint16 [H, W], a number from 1 for each object and 0 where there is none.
    ``size`` is given where the image was decoded at 1/``reduction`` of the size that its file has: annotations and
    boxes count in pixels of the file.
    """

    image: NDArray[np.uint8]
    label: Label | None = None
    instances: NDArray[np.uint16] | None = None
    boxes: tuple[Box, ...] = ()
    size: Size | None = None
    reduction: int = 1

    @property
    def full_size(self) -> Size:
        """Height and width of the image in its file."""
        return self.size or (self.image.shape[0], self.image.shape[1])


# A dataset may have a million of them.
@dataclass(frozen=True, slots=True)
class Record:
    """One image of a dataset, not read yet.

    ``key`` is unique over all splits and matches ``[A-Za-z0-9_-]+``. ``image``, ``label`` and ``instances`` are
    paths below the dataset's root with forward slashes, so that a record is the same wherever the dataset lies;
    ``label`` is None for an unlabelled image. ``attributes`` says what captions need: ``medium`` always, others
    where known. ``captions`` are sentences that people wrote of it. ``boxes`` count in pixels of the upright image.
    ``legend`` says what the values in a label stand for where that is another thing in each image.
    """

    key: str
    split: str
    image: str
    label: str | None = None
    instances: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    captions: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    legend: str = ""

    def to_json(self) -> dict[str, Any]:
        """The record as plain values, empty ones left out."""
        return {name: value for name, value in msgspec.to_builtins(self).items() if value}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Record:
        """The record of these plain values."""
        captions = tuple(values.get("captions", ()))
        boxes = tuple(Box(**box) for box in values.get("boxes", ()))
        return cls(**{**values, "captions": captions, "boxes": boxes})


class Dataset(Protocol):
    """Labelled or unlabelled images as their owner distributes them. Picklable, holds no open file."""

    @property
    def name(self) -> str: ...

    @property
    def taxonomy(self) -> Taxonomy | None:
        """What the train ids mean; None where no image has a label."""
        ...

    def splits(self) -> list[str]:
        """Names of the splits that are on disk, sorted."""
        ...

    def records(self, split: str) -> list[Record]:
        """Every image of a split, sorted by key, never empty.

        Raises UserError for a split that is absent, empty, or labelled only in part.
        """
        ...

    def load(self, record: Record, at_least: Size | None = None) -> Frame:
        """Read an image with its label, instances and boxes, as far as the record has them.

        A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size that is ``at_least`` so large; labels never are.
        Raises RecordError naming the file that cannot be read, has unknown ids, or has another size.
        """
        ...


def make_key(split: str, stem: str) -> str:
    """Name an image so that no two splits share a key: the split, then its file name without the suffix.

    Characters that a key cannot have become a dash; such a key ends in a digest of the original, so that two
    names that differ only there stay apart.
    """
    plain = f"{split}_{stem}"
    key = _NOT_IN_A_KEY.sub("-", plain)
    return key if key == plain else f"{key}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}"


def sorted_by_key(records: Sequence[Record]) -> list[Record]:
    """Order records by key; raises UserError where two files of a split have one key."""
    by_key: dict[str, Record] = {}
    for record in records:
        other = by_key.setdefault(record.key, record)
        if other is not record:
            raise UserError(
                f"{other.image} and {record.image} have the same name but for the suffix: remove one of them"
            )
    return [by_key[key] for key in sorted(by_key)]


def check_same_size(frame: Frame, annotation: Label, record: Record, path: str) -> None:
    """Raise RecordError where an annotation, read from ``path``, does not lie on its image pixel by pixel."""
    height, width = frame.full_size
    if (height, width) != annotation.shape:
        raise RecordError(
            f"size mismatch: {record.image} is {height}x{width} pixels (height x width) but "
            f"{PurePath(path).name} is {annotation.shape[0]}x{annotation.shape[1]}"
        )


def one_line(error: BaseException) -> str:
    """The message of an exception without line breaks, its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
