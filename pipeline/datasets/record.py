"""An image of a dataset: as a record before it is read, and as a frame of pixels."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError

Role: TypeAlias = Literal["image", "label"]
Label: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
# Height and width in pixels, as numpy counts.
Size: TypeAlias = tuple[int, int]

# The split that models are trained on.
TRAIN_SPLIT = "train"

_NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9_-]+")


class RecordError(UserError):
    """One image, label or attribute file is faulty; the rest of the dataset can still be read.

    The message starts with the kind of fault and a colon, such as "truncated image: ...", and is counted by it.
    """


# Slots, as a set has hundreds of thousands.
@dataclass(frozen=True, slots=True)
class Box:
    """An object's rectangle, in pixels from the left and the top edge of its image; fractions are allowed."""

    category: str
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, eq=False)
class Frame:
    """An image and its annotations.

    ``image`` is RGB uint8 [H, W, 3]; ``label`` train ids [H, W], uint8 or, where the taxonomy has more than 255
    classes, uint16; ``instances`` uint16 [H, W], a number from 1 for each object and 0 for no object. ``size`` is
    set where the image was decoded at 1/``reduction`` of its size in the file: annotations and boxes count in pixels of
    the file.
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


# Slots, as a dataset may have a million.
@dataclass(frozen=True, slots=True)
class Record:
    """One image of a dataset, not read yet.

    ``key`` is unique over all splits and matches ``[A-Za-z0-9_-]+``. ``image``, ``label`` and ``instances`` are
    paths below the dataset's root with forward slashes, so that a record does not depend on where the dataset is;
    ``label`` is None for an unlabelled image. ``attributes`` are for captions: always ``medium``, others where known.
    ``captions`` are sentences that people wrote about it. ``boxes`` count in pixels of the upright image. ``legend``
    describes the values in a label where they mean something else in each image.
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
        """The record as plain values, without empty ones."""
        return {name: value for name, value in msgspec.to_builtins(self).items() if value}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Record:
        """The record of these plain values."""
        captions = tuple(values.get("captions", ()))
        boxes = tuple(Box(**box) for box in values.get("boxes", ()))
        return cls(**{**values, "captions": captions, "boxes": boxes})


@dataclass(frozen=True, slots=True)
class Facts:
    """What a dataset knows about an image, as a `Record` has it."""

    attributes: dict[str, str] = field(default_factory=dict)
    captions: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()


NO_FACTS = Facts()


def records_of(
    split: str,
    images: Mapping[str, str],
    labels: Mapping[str, str],
    facts_of: Callable[[str, str], Facts] | None = None,
    *,
    instances: Mapping[str, str] | None = None,
    legends: Mapping[str, str] | None = None,
) -> list[Record]:
    """The records of a split's images, sorted by key; the mappings have paths by the name of an image.

    ``facts_of`` takes name and path of an image. Its medium is ``photo`` unless its attributes state another. Raises
    UserError where two images have one key.
    """
    records = []
    for name, path in images.items():
        facts = facts_of(name, path) if facts_of else NO_FACTS
        records.append(
            Record(
                key=make_key(split, name),
                split=split,
                image=path,
                label=labels.get(name),
                instances=instances.get(name) if instances else None,
                attributes={"medium": "photo", **facts.attributes},
                captions=facts.captions,
                boxes=facts.boxes,
                legend=legends.get(name, "") if legends else "",
            )
        )
    return sorted_by_key(records)


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


def one_line(error: BaseException) -> str:
    """The message of an exception without line breaks, its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
