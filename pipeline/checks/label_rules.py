"""What is wrong with labels as a whole: a class that no pixel shows because its value is ignored, nothing to learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets import Coco, Dataset, Folder
from pipeline.datasets.files.tree import enumerate_some
from pipeline.taxonomies import Taxonomy

# Names in a message, beyond which they are counted.
_NAMES = 3
WITHOUT_LABELS = "evaluate.split=null leaves out all that trains on labels"


@dataclass(frozen=True)
class Meaning:
    """What the values in the masks of a dataset stand for.

    Attributes:
        taxonomy: their classes.
        values: the value of each class in the files.
        ignored: the value of pixels without a class.
        stated: whether the user, or the set's owner, says that it is no class; else it is so by default.
        of_objects: whether labels are polygons of objects and pixels outside them have no class, so that a set of one
            category is no mistake, though there is nothing to train on.
    """

    taxonomy: Taxonomy
    values: tuple[int, ...]
    ignored: int
    stated: bool
    of_objects: bool = False

    @classmethod
    def of(cls, dataset: Dataset) -> Meaning | None:
        """The meaning of a dataset's masks; None where it has none."""
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
    def of_store(cls, taxonomy: Taxonomy) -> Meaning:
        """The meaning of train ids."""
        return cls(taxonomy, tuple(range(len(taxonomy))), taxonomy.ignore_index, stated=True)

    @property
    def second_class(self) -> str:
        """What gives pixels that are ignored a class."""
        if self.of_objects:
            return "set dataset.coco.background=background to give the pixels outside all objects a class"
        return "give what is not that class a value and a name of its own in the file of classes"

    def named(self, train_ids: Sequence[int]) -> str:
        """These classes with their values, some of them counted."""
        return enumerate_some([f"{self.taxonomy.classes[i]!r} ({self.values[i]})" for i in train_ids], _NAMES)


@dataclass(frozen=True)
class Seen:
    """What the labels of a split hold, as far as they were looked at.

    Attributes:
        split: which.
        pixels: of each class, int64 [C].
        ignored: pixels without a class.
        looked: labels that were read.
        total: labelled images of the split.
    """

    split: str
    pixels: NDArray[np.int64]
    ignored: int
    looked: int
    total: int

    @property
    def classes(self) -> frozenset[int]:
        """Train ids of the classes that some pixel shows."""
        return frozenset(np.flatnonzero(self.pixels).tolist())

    @property
    def whole(self) -> bool:
        """Whether every label of the split was looked at."""
        return self.looked == self.total

    def __str__(self) -> str:
        return f"{self.looked} of {self.total} of {self.split}"


def counted(seen: Sequence[Seen]) -> str:
    """How many masks of which splits were looked at."""
    looked = sum(each.looked for each in seen)
    return f"the {looked} masks looked at ({', '.join(str(each) for each in seen if each.total)})"


def shown(seen: Sequence[Seen]) -> frozenset[int]:
    """Train ids of the classes that some pixel of any split shows."""
    return frozenset[int]().union(*(each.classes for each in seen))


def joined(seen: Sequence[Seen]) -> list[Seen]:
    """One entry for each split, of which a part was looked at after another."""
    splits: dict[str, Seen] = {}
    for each in seen:
        other = splits.get(each.split, Seen(each.split, np.zeros_like(each.pixels), 0, 0, 0))
        pixels, ignored = other.pixels + each.pixels, other.ignored + each.ignored
        splits[each.split] = Seen(each.split, pixels, ignored, other.looked + each.looked, other.total + each.total)
    return list(splits.values())


def may_be_ignored(meaning: Meaning, classes: frozenset[int], ignored: int) -> bool:
    """Whether a class may be missing because its pixels have the value that is ignored unless it is stated as one.

    So where two classes or more are named and one alone is shown, or all but the last. A class in the middle of
    others, or many of them, are what any small part of a set lacks.
    """
    count = len(meaning.taxonomy)
    if meaning.stated or not ignored or count < 2:
        return False
    return len(classes) == 1 or classes == frozenset(range(count - 1))


def ignored_class(meaning: Meaning, seen: Sequence[Seen], *, everything: bool) -> str | None:
    """What is wrong where a named class is silently ignored, with the values found and both ways out; None elsewhere.

    Args:
        meaning: of the values.
        seen: all splits looked at.
        everything: whether those are all masks there are; of a part the last of several classes may be missing by
            chance.
    """
    classes, ignored = shown(seen), sum(each.ignored for each in seen)
    if not may_be_ignored(meaning, classes, ignored) or (len(classes) > 1 and not everything):
        return None
    absent = [train_id for train_id in range(len(meaning.taxonomy)) if train_id not in classes]
    values = [str(meaning.values[train_id]) for train_id in sorted(classes)]
    return (
        f"the masks hold the values {', '.join(values)} and {meaning.ignored}: no pixel in {counted(seen)} shows "
        f"{meaning.named(absent)}, and {_both_ways_out(meaning, classes, absent[-1])}"
    )


def perhaps_ignored(meaning: Meaning, seen: Sequence[Seen]) -> str | None:
    """What to check where the last class and others are absent and an ignored value is there; None elsewhere.

    A small set may lack rare classes, so that this is no fault.
    """
    classes, ignored, last = shown(seen), sum(each.ignored for each in seen), len(meaning.taxonomy) - 1
    if meaning.stated or not ignored or not classes or last in classes or may_be_ignored(meaning, classes, ignored):
        return None
    return _both_ways_out(meaning, classes, last)


def _both_ways_out(meaning: Meaning, classes: frozenset[int], last: int) -> str:
    """How to say that the ignored value is the class ``last``, and how to say that it is none."""
    names, value = meaning.taxonomy.classes, meaning.ignored
    rows = [f"{meaning.values[i]},{names[i]}" for i in sorted(classes)][:_NAMES]
    return (
        f"{value} is ignored unless it is stated as a class. If {value} is {names[last]!r}, give the ids in a "
        f"classes.csv with the columns id,name and the rows {' '.join(rows)} {value},{names[last]}; if it is no "
        f"class, set dataset.folder.ignore_index={value}"
    )


def nothing_labelled(seen: Seen, ignored: int) -> str | None:
    """What is wrong where no pixel of a split has a class; None elsewhere."""
    if seen.classes or not seen.looked:
        return None
    return (
        f"no pixel of {seen.split!r} has a class in {counted([seen])}: all are {ignored}, which is ignored; label it, "
        "or check dataset.folder.ignore_index and the values of the classes"
    )


def nothing_to_learn(seen: Seen, classes: Sequence[str], meaning: Meaning) -> str | None:
    """What is wrong where all labelled pixels of a split have one class; None elsewhere.

    Args:
        seen: the split.
        classes: names of the train ids that were counted, which may be those of another taxonomy.
        meaning: of the values in the files.
    """
    if len(seen.classes) != 1:
        return None
    [only] = seen.classes
    rest = f", and {meaning.ignored}, which is ignored" if seen.ignored else ""
    return (
        f"the pixels of {seen.split!r} show one class alone in {counted([seen])}, {classes[only]!r}{rest}: there is "
        f"nothing to tell apart; {meaning.second_class}"
    )


def not_shown(names: Sequence[str], seen: Sequence[Seen]) -> str | None:
    """Which classes no pixel shows, in a line; None where all are shown or no label was looked at."""
    absent = [name for index, name in enumerate(names) if index not in shown(seen)]
    if not absent or not any(each.looked for each in seen):
        return None
    return f"{len(absent)} of {len(names)} classes are in none of {counted(seen)}: {enumerate_some(absent)}"
