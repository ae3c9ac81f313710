"""Images without labels and labels without images, for whoever examines a set that is not whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any


@dataclass(frozen=True)
class Unpaired:
    """What a split lacks: file names of its images without a label and of its labels without an image, sorted.

    ``images`` and ``labels`` are how many there are in all; the patterns say where they are expected.
    """

    split: str
    images: int
    labels: int
    without_label: tuple[str, ...]
    without_image: tuple[str, ...]
    image_pattern: str
    label_pattern: str

    def to_json(self) -> dict[str, Any]:
        """The counts and all names as plain values."""
        return {
            "split": self.split,
            "images": self.images,
            "labels": self.labels,
            "images_without_label": list(self.without_label),
            "labels_without_image": list(self.without_image),
        }


_noted: ContextVar[list[Unpaired] | None] = ContextVar("_noted", default=None)
_ignored: ContextVar[list[str] | None] = ContextVar("_ignored", default=None)


@contextmanager
def telling_unpaired() -> Iterator[list[Unpaired]]:
    """Let readers add to the list given what they would refuse as unpaired otherwise."""
    noted: list[Unpaired] = []
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)


@contextmanager
def noting_ignored() -> Iterator[list[str]]:
    """Let readers add to the list given the paths of labels that they ignore, because nobody misses their images."""
    paths: list[str] = []
    token = _ignored.set(paths)
    try:
        yield paths
    finally:
        _ignored.reset(token)


def note_ignored(paths: Iterable[str]) -> None:
    """Inside ``noting_ignored`` note the paths of labels that are ignored; outside do nothing."""
    if (noted := _ignored.get()) is not None:
        noted.extend(paths)


def tell_unpaired(
    split: str,
    images: Mapping[str, str],
    labels: Mapping[str, str],
    image_pattern: str,
    label_pattern: str,
    may_lack: bool,
) -> bool:
    """Inside ``telling_unpaired`` note what has no partner by name, and return True; outside do nothing.

    An image without a label lacks nothing where it ``may_lack`` one.
    """
    noted = _noted.get()
    if noted is None:
        return False
    bare = [] if may_lack else sorted(images.keys() - labels.keys())
    orphans = sorted(labels.keys() - images.keys())
    if bare or orphans or not images:
        without_label = tuple(PurePosixPath(images[name]).name for name in bare)
        without_image = tuple(PurePosixPath(labels[name]).name for name in orphans)
        noted.append(
            Unpaired(split, len(images), len(labels), without_label, without_image, image_pattern, label_pattern)
        )
    return True
