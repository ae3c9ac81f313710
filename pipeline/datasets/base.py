"""What every dataset reader offers, and what each of its images is called."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError
from pipeline.taxonomies import Taxonomy

_NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9_-]+")


class RecordError(UserError):
    """One image, label or attribute file is at fault; the rest of the dataset can still be read.

    The message starts with the kind of fault and a colon, such as "truncated image: ...", and is counted by it.
    """


@dataclass(frozen=True)
class Record:
    """One image of a dataset, not read yet.

    ``key`` is unique over all splits and matches ``[A-Za-z0-9_-]+``. ``image`` and ``label`` are paths below
    the dataset's root with forward slashes, so that a record is the same wherever the dataset lies; ``label``
    is None for an unlabelled image. ``attributes`` says what captions need: ``medium`` always, others where
    known.
    """

    key: str
    split: str
    image: str
    label: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)


class Dataset(Protocol):
    """Labelled or unlabelled images as their owner distributes them. Picklable, holds no open file."""

    @property
    def name(self) -> str: ...

    @property
    def taxonomy(self) -> Taxonomy: ...

    def splits(self) -> list[str]:
        """Names of the splits that are on disk, sorted."""
        ...

    def records(self, split: str) -> list[Record]:
        """Every image of a split, sorted by key, never empty.

        Raises UserError for a split that is absent, empty, or labelled only in part.
        """
        ...

    def load(self, record: Record) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Read an image as RGB uint8 [H, W, 3] and its train ids uint8 [H, W], None where unlabelled.

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


def check_same_size(image: NDArray[np.uint8], label: NDArray[np.uint8], record: Record) -> None:
    """Raise RecordError where a label does not lie on its image pixel by pixel."""
    if image.shape[:2] != label.shape:
        raise RecordError(
            f"size mismatch: {record.image} is {image.shape[0]}x{image.shape[1]} pixels (height x width) but its label "
            f"{PurePath(record.label or '').name} is {label.shape[0]}x{label.shape[1]}"
        )
