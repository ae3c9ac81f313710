"""Which images of a dataset are read, and in which split."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from augment.errors import UserError
from augment.options import Options, Seed
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.dataset_tables import unread_tables
from pipeline.datasets.files.tree import enumerate_some
from pipeline.datasets.pairing.pairs import collecting_ignored, collecting_unpaired
from pipeline.datasets.pairing.unread_folders import folders_like_labels
from pipeline.datasets.record import TRAIN_SPLIT, Record, sorted_by_key

_MOST_NAMES = 3
# Folders that are searched for tables that are not read.
_MOST_FOLDERS = 100


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from error
    return text


class HeldOut(Options):
    """Images of 'train' that are held out as a split of their own, for a dataset that comes without one."""

    # A hash of the name decides, so that an image stays in its split when others are added.
    share: float = Field(default=0.1, gt=0, lt=1, description="share of the images, or of their groups, chosen by hash")
    split: Annotated[str, Field(min_length=1)] = Field(default="val", description="name of the split that they become")
    groups: Annotated[str, AfterValidator(_pattern)] | None = Field(
        default=None,
        description="regular expression searched for in each image's path: images for which its first group, or else "
        "the whole of it, finds the same text stay together, such as 'train/([^/]+)/' for cities; null parts any",
    )
    seed: Seed = Field(default=0, description="seed of the hash")

    def divided(self, records: Sequence[Record]) -> dict[str, list[Record]]:
        """The records of ``train``, divided; each side has at least one group.

        Raises UserError for fewer than two groups, and for a path that the pattern does not match.
        """
        groups: dict[str, list[Record]] = {}
        for record in records:
            groups.setdefault(self._group(record), []).append(record)
        if not records:
            return {TRAIN_SPLIT: [], self.split: []}
        if len(groups) < 2:
            raise UserError(
                f"dataset.held_out: the {len(records)} images of {TRAIN_SPLIT!r} are one group, "
                f"{next(iter(groups))!r}: at least two are needed, one for each side"
            )
        places = sorted((self._place(group), group) for group in groups)
        count = sum(place < self.share for place, _ in places)
        count = min(max(count, 1), len(places) - 1)
        held_out = {group for _, group in places[:count]}
        kept = [record for name, found in groups.items() if name not in held_out for record in found]
        moved = [self._moved(record) for name in held_out for record in groups[name]]
        return {TRAIN_SPLIT: sorted_by_key(kept), self.split: sorted_by_key(moved)}

    def _group(self, record: Record) -> str:
        if self.groups is None:
            return record.key.removeprefix(f"{record.split}_")
        found = re.search(self.groups, record.image)
        if found is None:
            raise UserError(f"dataset.held_out.groups: {self.groups!r} is not found in {record.image}")
        return found[1 if found.re.groups else 0] or ""

    def _place(self, group: str) -> float:
        """A number from 0 to 1 that depends on the group and the seed alone."""
        digest = hashlib.sha256(f"{self.seed}\0{group}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    def _moved(self, record: Record) -> Record:
        name = record.key.removeprefix(f"{record.split}_")
        return replace(record, split=self.split, key=f"{self.split}_{name}")


@dataclass(frozen=True)
class LeftOut:
    """Files of a split that are not read: images without a label, and labels without an image; names sorted."""

    split: str
    images: tuple[str, ...]
    labels: tuple[str, ...]

    def __str__(self) -> str:
        """The number of each with a few names, in one line."""
        counted = (("image", "without a label", self.images), ("label", "without an image", self.labels))
        parts = [
            f"{len(names)} {what}{'s' if len(names) > 1 else ''} {lack} ({enumerate_some(names, _MOST_NAMES)})"
            for what, lack, names in counted
            if names
        ]
        return f"{self.split}: {' and '.join(parts)}"

    def to_json(self) -> dict[str, Any]:
        """All names, as plain values."""
        names = {"images_without_label": list(self.images), "labels_without_image": list(self.labels)}
        return {"split": self.split, **names}


@dataclass(frozen=True)
class Listing:
    """The images of each split that are read, and what is not read.

    Attributes:
        records: by split, sorted by key.
        left_out: files that are left out, of the splits that have any.
        tables: paths of tables that are not read.
        like_labels: for a dataset without labels, one file of each folder that seems to hold labels.
    """

    records: dict[str, list[Record]]
    left_out: tuple[LeftOut, ...] = ()
    tables: tuple[str, ...] = ()
    like_labels: tuple[str, ...] = ()

    def remarks(self) -> list[str]:
        """What is not read, one line each."""
        lines = [f"left out of {left_out}" for left_out in self.left_out]
        if self.tables:
            lines.append(f"tables that are not read: {enumerate_some(self.tables, _MOST_NAMES)}")
        if self.like_labels:
            lines.append(
                "no labels are read, but files in other folders have the names of images: "
                f"{enumerate_some(self.like_labels, _MOST_NAMES)}; if they are masks, give their folder "
                "in dataset.folder.masks, and the meaning of their values in classes.txt"
            )
        return lines


@dataclass(frozen=True)
class Intake:
    """Which images of a dataset are read: all, or ``only_labelled`` ones; and which of them are ``held_out``."""

    only_labelled: bool = False
    held_out: HeldOut | None = None

    def splits(self, dataset: Dataset) -> list[str]:
        """Names of the splits that can be read, sorted."""
        return sorted({*dataset.splits(), *([self.held_out.split] if self.held_out else [])})

    def listing(self, dataset: Dataset, splits: Sequence[str], *, may_be_empty: bool = False) -> Listing:
        """The images of these splits.

        Raises UserError as `Dataset.records` does, where the split to hold out is on disk, and for a split that is left
        without an image unless it ``may_be_empty``.
        """
        held_out = self.held_out
        if held_out is not None and held_out.split in dataset.splits():
            raise UserError(
                f"dataset.held_out: {dataset.tree} has the split {held_out.split!r}, so none can be made of "
                f"{TRAIN_SPLIT!r}: leave held_out null, or give held_out.split another name"
            )
        records: dict[str, list[Record]] = {}
        left_out: list[LeftOut] = []
        for split in splits:
            if held_out is not None and split in (TRAIN_SPLIT, held_out.split):
                if split not in records:
                    records |= held_out.divided(self._records(dataset, TRAIN_SPLIT, left_out, may_be_empty))
            else:
                records[split] = self._records(dataset, split, left_out, may_be_empty)
        chosen = {split: records[split] for split in splits}
        if not dataset.tree.location.is_local:
            return Listing(chosen, tuple(left_out))
        every = [record for found in chosen.values() for record in found]
        tables = unread_tables(dataset.tree, _folders(every), dataset.tables())
        like_labels = [] if dataset.taxonomy else folders_like_labels(dataset.tree, _of_some_folders(every))
        return Listing(chosen, tuple(left_out), tuple(tables), tuple(like_labels))

    def _records(self, dataset: Dataset, split: str, left_out: list[LeftOut], may_be_empty: bool) -> list[Record]:
        with collecting_ignored() as ignored:
            if self.only_labelled:
                with collecting_unpaired() as unpaired:
                    found = dataset.records(split)
            else:
                unpaired, found = [], dataset.records(split)
        bare = [PurePosixPath(record.image).name for record in found if record.label is None and self.only_labelled]
        known = set(bare)
        # COCO's files may list fewer images than are on disk: the others have no record.
        unlisted = [name for one in unpaired for name in one.without_label if name not in known]
        alone = [PurePosixPath(path).name for path in ignored] + [
            name for one in unpaired for name in one.without_image
        ]
        images, labels = tuple(sorted(bare + unlisted)), tuple(sorted(alone))
        if images or labels:
            left_out.append(LeftOut(split, images, labels))
        if not self.only_labelled:
            return found
        labelled = [record for record in found if record.label is not None]
        if not (labelled or may_be_empty):
            raise UserError(
                f"dataset.only_labelled: none of the {len(found)} images of {split!r} in {dataset.tree} has a label"
                + (f", and {len(labels)} labels have no image" if labels else "")
                + ("" if split == TRAIN_SPLIT else f"; leave {split!r} out of dataset.splits")
            )
        return labelled


def _of_some_folders(records: Sequence[Record]) -> list[str]:
    """Paths of the images in `_folders`."""
    folders = {*_folders(records)}
    return [record.image for record in records if posixpath.dirname(record.image) in folders]


def _folders(records: Iterable[Record]) -> list[str]:
    """Some of the folders with images, sorted; a set may have thousands."""
    return sorted({posixpath.dirname(record.image) for record in records})[:_MOST_FOLDERS]
