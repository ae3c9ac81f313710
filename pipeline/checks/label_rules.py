"""Faults of the labels as a whole: a class without pixels because its value is ignored, or nothing to learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets import Coco, Dataset, Folder
from pipeline.datasets.files.tree import enumerate_some
from pipeline.taxonomies import Taxonomy

# How many names a message lists; of the others it gives the number.
_NAMES = 3
WITHOUT_LABELS = "or set evaluate.split=null to leave out every stage that trains on labels"


@dataclass(frozen=True)
class LabelEncoding:
    """What the values in the masks of a dataset mean.

    Attributes:
        taxonomy: their classes.
        values: the value of each class in the files.
        ignored: the value of pixels without a class.
        stated: whether the user, or the owner of the set, declares that this value is no class; else it is a default.
        of_objects: whether labels are polygons of objects and pixels outside them have no class. A set of one category
            is then valid, although a segmenter has nothing to learn from it.
    """

    taxonomy: Taxonomy
    values: tuple[int, ...]
    ignored: int
    stated: bool
    of_objects: bool = False

    @classmethod
    def of(cls, dataset: Dataset) -> LabelEncoding | None:
        """The encoding of a dataset's masks; None where it has none."""
        if isinstance(dataset, Folder) and dataset.classes is not None:
            found = dataset.classes
            ignored = found.taxonomy.ignore_index if found.ignored is None else found.ignored
            return cls(found.taxonomy, found.values, ignored, found.ignored is not None or found.states_ignored)
        taxonomy = dataset.taxonomy
        if taxonomy is None:
            return None
        of_objects = isinstance(dataset, Coco) and dataset.leaves_background_unlabelled
        return cls(taxonomy, tuple(range(len(taxonomy))), taxonomy.ignore_index, stated=True, of_objects=of_objects)

    @classmethod
    def of_store(cls, taxonomy: Taxonomy) -> LabelEncoding:
        """The encoding of train ids."""
        return cls(taxonomy, tuple(range(len(taxonomy))), taxonomy.ignore_index, stated=True)

    @property
    def second_class_remedy(self) -> str:
        """How to give ignored pixels a class."""
        if self.of_objects:
            return "set dataset.coco.background=background to give the pixels outside all objects a class"
        return "give the pixels of other classes a value and a name of their own in the file of classes"

    def named(self, train_ids: Sequence[int]) -> str:
        """These classes with their values; only the first few where there are many."""
        return enumerate_some([f"{self.taxonomy.classes[i]!r} ({self.values[i]})" for i in train_ids], _NAMES)


@dataclass(frozen=True)
class LabelCounts:
    """What the labels of a split contain, as far as they were read.

    Attributes:
        split: its name.
        pixels: of each class, int64 [C].
        ignored: pixels without a class.
        read: labels that were read.
        total: labelled images of the split.
    """

    split: str
    pixels: NDArray[np.int64]
    ignored: int
    read: int
    total: int

    @property
    def classes(self) -> frozenset[int]:
        """Train ids of the classes that have a pixel."""
        return frozenset(np.flatnonzero(self.pixels).tolist())

    @property
    def complete(self) -> bool:
        """Whether every label of the split was read."""
        return self.read == self.total

    def __str__(self) -> str:
        return f"{self.read} of {self.total} of {self.split}"


def masks_checked(counts: Sequence[LabelCounts]) -> str:
    """How many masks of which splits were checked."""
    splits = ", ".join(str(each) for each in counts if each.total)
    return f"the {sum(each.read for each in counts)} masks checked ({splits})"


def classes_in(counts: Sequence[LabelCounts]) -> frozenset[int]:
    """Train ids of the classes that have a pixel in any split."""
    return frozenset[int]().union(*(each.classes for each in counts))


def merge_splits(counts: Sequence[LabelCounts]) -> list[LabelCounts]:
    """One entry for each split; several entries of a split, of different labels, are added up."""
    splits: dict[str, LabelCounts] = {}
    for each in counts:
        other = splits.get(each.split, LabelCounts(each.split, np.zeros_like(each.pixels), 0, 0, 0))
        pixels, ignored = other.pixels + each.pixels, other.ignored + each.ignored
        splits[each.split] = LabelCounts(each.split, pixels, ignored, other.read + each.read, other.total + each.total)
    return list(splits.values())


def may_ignore_a_class(encoding: LabelEncoding, classes: frozenset[int], ignored: int) -> bool:
    """Whether a class may be missing because its pixels have the value that is ignored by default.

    This is suspected where two classes or more are named, and only one of them or all but the last one occur. Any
    small part of a set lacks a class in the middle of others, or many classes.
    """
    count = len(encoding.taxonomy)
    if encoding.stated or not ignored or count < 2:
        return False
    return len(classes) == 1 or classes == frozenset(range(count - 1))


def ignored_class(encoding: LabelEncoding, counts: Sequence[LabelCounts], *, everything: bool) -> str | None:
    """The fault of a named class that is silently ignored, with the values found and both remedies; None elsewhere.

    Args:
        encoding: of the masks.
        counts: of all splits.
        everything: whether every mask of the dataset was read; a part of them may lack the last of several classes by
            chance.
    """
    classes, ignored = classes_in(counts), sum(each.ignored for each in counts)
    if not may_ignore_a_class(encoding, classes, ignored) or (len(classes) > 1 and not everything):
        return None
    absent = [train_id for train_id in range(len(encoding.taxonomy)) if train_id not in classes]
    values = [str(encoding.values[train_id]) for train_id in sorted(classes)]
    return (
        f"the masks have the values {', '.join(values)} and {encoding.ignored}: no pixel in {masks_checked(counts)} "
        f"shows {encoding.named(absent)}, and {_both_remedies(encoding, classes, absent[-1])}"
    )


def perhaps_ignored(encoding: LabelEncoding, counts: Sequence[LabelCounts]) -> str | None:
    """What to check where the last class and others are absent and some pixels are ignored by default; None elsewhere.

    A small set may lack rare classes, so this is no fault.
    """
    classes, ignored, last = classes_in(counts), sum(each.ignored for each in counts), len(encoding.taxonomy) - 1
    if encoding.stated or not ignored or not classes or last in classes:
        return None
    return None if may_ignore_a_class(encoding, classes, ignored) else _both_remedies(encoding, classes, last)


def _both_remedies(encoding: LabelEncoding, classes: frozenset[int], last: int) -> str:
    """How to declare that the ignored value is the class ``last``, and how to declare that it is no class."""
    names, value = encoding.taxonomy.classes, encoding.ignored
    rows = [f"{encoding.values[i]},{names[i]}" for i in sorted(classes)][:_NAMES]
    return (
        f"{value} is ignored by default. If {value} is {names[last]!r}, give the ids in a classes.csv with the columns "
        f"id,name and the rows {' '.join(rows)} {value},{names[last]}; if it is no class, set "
        f"dataset.folder.ignore_index={value}"
    )


def nothing_labelled(counts: LabelCounts, ignored: int) -> str | None:
    """The fault of a split in which no pixel has a class; None elsewhere."""
    if counts.classes or not counts.read:
        return None
    return (
        f"no pixel of {counts.split!r} has a class in {masks_checked([counts])}: all are {ignored}, which is ignored; "
        "label the images, or check dataset.folder.ignore_index and the values of the classes"
    )


def nothing_to_learn(counts: LabelCounts, classes: Sequence[str], encoding: LabelEncoding) -> str | None:
    """The fault of a split in which all labelled pixels have one class; None elsewhere.

    Args:
        counts: of the split.
        classes: names of the train ids that were counted, possibly of another taxonomy than that of the files.
        encoding: of the masks.
    """
    if len(counts.classes) != 1:
        return None
    [only] = counts.classes
    rest = f", and {encoding.ignored}, which is ignored" if counts.ignored else ""
    return (
        f"the pixels of {counts.split!r} show only one class in {masks_checked([counts])}, {classes[only]!r}{rest}: a "
        f"segmenter has nothing to tell apart; {encoding.second_class_remedy}"
    )


def absent_classes(names: Sequence[str], counts: Sequence[LabelCounts]) -> str | None:
    """Which classes have no pixel, in a line; None where all have one or no label was read."""
    absent = [name for index, name in enumerate(names) if index not in classes_in(counts)]
    if not absent or not any(each.read for each in counts):
        return None
    return f"{len(absent)} of {len(names)} classes are in none of {masks_checked(counts)}: {enumerate_some(absent)}"
