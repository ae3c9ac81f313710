"""Inspect a dataset or a store as a whole, and report the figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from rich.console import Console
from rich.progress import track

from pipeline.checks.label_rules import LabelCounts, ignored_class, nothing_labelled, nothing_to_learn, perhaps_ignored
from pipeline.datasets import TRAIN_SPLIT
from pipeline.inspection.duplicates import DISTANCE, NearDuplicate, closest
from pipeline.inspection.examine import Examine, Findings, examined
from pipeline.inspection.statistics import RARE_IMAGES, RARE_PIXELS, Statistics
from pipeline.inspection.subject import Subject
from pipeline.store import JSON


@dataclass(frozen=True)
class Report:
    """What an inspection found.

    Attributes:
        subject: what was inspected.
        splits: statistics of each split.
        near_duplicates: each image with the nearest one of each split, pairs across splits first; see `closest`.
        distance: how many of 64 bits near-duplicates may differ in.
        flat: images of almost no contrast, which are not compared.
    """

    subject: Subject
    splits: dict[str, Statistics]
    near_duplicates: Sequence[NearDuplicate]
    distance: int
    flat: int

    @property
    def total(self) -> Statistics:
        """Statistics over all splits."""
        total = Statistics(len(self.subject.taxonomy) if self.subject.taxonomy else 0)
        for statistics in self.splits.values():
            total.merge(statistics)
        return total

    @property
    def pairs_of_splits(self) -> Counter[tuple[str, str]]:
        """How many images of the first split have a near-duplicate in the second; across splits first."""
        counts = Counter((pair.split, pair.other_split) for pair in self.near_duplicates)
        return Counter(dict(sorted(counts.items(), key=lambda item: (item[0][0] == item[0][1], item[0]))))

    @property
    def label_faults(self) -> list[str]:
        """Why a run would refuse the labels as a whole, a line each; empty if only a part of them was read."""
        return self._label_faults(sure=True)

    @property
    def label_doubts(self) -> list[str]:
        """Why a run might refuse labels that were read only in part, a line each."""
        return self._label_faults(sure=False)

    def _label_faults(self, *, sure: bool) -> list[str]:
        encoding = self.subject.encoding
        if encoding is None:
            return []
        counts = {split: self._label_counts(split) for split in self.splits}
        everything = self.subject.every_split and all(each.complete for each in counts.values())
        # Only this split is learned from. Owners who withhold the labels of other splits put placeholders there.
        train, names = counts.get(TRAIN_SPLIT), encoding.taxonomy.classes
        if train and (fault := nothing_labelled(train, encoding.ignored)):
            return [fault] if train.complete == sure else []
        if fault := ignored_class(encoding, list(counts.values()), everything=everything):
            return [fault] if everything == sure else []
        if train and not encoding.of_objects and (fault := nothing_to_learn(train, names, encoding)):
            return [fault] if train.complete == sure else []
        return []

    @property
    def label_note(self) -> str | None:
        """Why segmenters cannot be trained on labels that have no fault otherwise; None where they can."""
        encoding, train = self.subject.encoding, TRAIN_SPLIT
        if encoding is None or not encoding.of_objects or train not in self.splits:
            return None
        return nothing_to_learn(self._label_counts(train), encoding.taxonomy.classes, encoding)

    @property
    def ignored_note(self) -> str | None:
        """What to check where classes are absent and one of them may have the ignored value; None elsewhere."""
        encoding = self.subject.encoding
        counts = [self._label_counts(split) for split in self.splits] if encoding else []
        return None if encoding is None else perhaps_ignored(encoding, counts)

    def _label_counts(self, split: str) -> LabelCounts:
        statistics = self.splits[split]
        total = self.subject.labelled[split]
        return LabelCounts(split, statistics.pixels, statistics.ignored, statistics.labelled, total)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is missing, every file could be read, and a run can learn from the labels."""
        return (
            not self.subject.lacks_train
            and not self.subject.empty
            and not self.subject.unpaired
            and not self.subject.unread
            and not self.total.failed
            and not self.total.unknown
            and not self.label_faults
        )

    def to_json(self) -> dict[str, JSON]:
        """All figures as plain values."""
        taxonomy = self.subject.taxonomy
        return {
            "kind": self.subject.name,
            "place": self.subject.place,
            "layout_format": self.subject.layout_format if self.total.layouts else None,
            "taxonomy": taxonomy.name if taxonomy else None,
            "sound": self.is_sound,
            "splits": {name: statistics.to_json(taxonomy) for name, statistics in self.splits.items()},
            "total": self.total.to_json(taxonomy),
            "rare_below": {"share_of_images": RARE_IMAGES, "share_of_pixels": RARE_PIXELS},
            "unpaired": [unpaired.to_json() for unpaired in self.subject.unpaired],
            "unread": [unread.to_json() for unread in self.subject.unread],
            "empty": list(self.subject.empty),
            "left_out": [left_out.to_json() for left_out in self.subject.listing.left_out],
            "tables_not_read": list(self.subject.listing.tables),
            "quarantined": dict(self.subject.quarantined),
            "like_labels_not_read": list(self.subject.listing.like_labels),
            "turned_images": list(self.subject.turned),
            "label_faults": list(self.label_faults),
            "label_doubts": list(self.label_doubts),
            "label_note": self.label_note,
            "ignored_note": self.ignored_note,
            "near_duplicates": {
                "distance": self.distance,
                "not_compared": self.flat,
                "counts": [
                    {"split": split, "other_split": other, "images": count}
                    for (split, other), count in self.pairs_of_splits.items()
                ],
                "images": [asdict(pair) for pair in self.near_duplicates],
            },
        }


def inspect(
    subject: Subject, distance: int = DISTANCE, workers: int | None = None, console: Console | None = None
) -> Report:
    """Read every image of the subject once, then search for near-duplicates among them.

    The result does not depend on ``workers`` (processes; None is one for each core). A progress bar is shown on
    ``console`` (standard error by default) if that is a terminal.
    """
    console = console or Console(stderr=True)
    classes = len(subject.taxonomy) if subject.taxonomy else 0
    found = {split: Findings(Statistics(classes)) for split in subject.units}
    split_of = {unit.shard: split for split, units in subject.units.items() for unit in units}
    units = [unit for of_split in subject.units.values() for unit in of_split]
    results = examined(Examine(subject.source, subject.taxonomy), units, workers)
    for unit, findings in track(
        results, subject.name, len(units), console=console, disable=not console.is_terminal, transient=True
    ):
        found[split_of[unit.shard]].merge(findings)
    images = [(key, split, value) for split, of_split in found.items() for key, value in of_split.hashes.items()]
    hashes = np.array([value for *_, value in images], np.uint64)
    pairs = closest([key for key, *_ in images], [split for _, split, _ in images], hashes, distance)
    flat = sum(of_split.flat for of_split in found.values())
    return Report(subject, {split: of_split.statistics for split, of_split in found.items()}, pairs, distance, flat)
