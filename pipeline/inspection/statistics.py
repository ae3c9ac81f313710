"""Counts over samples; the counts of parts merge, in any order, to those of the whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.table import BOXES, CAPTIONS
from pipeline.store import JSON, Sample, kind_of
from pipeline.taxonomies import Taxonomy

_Value = TypeVar("_Value", int, str, tuple[int, int], tuple[int, int, int])

# A class is rare where it is in a smaller share of the labelled images, or of the pixels that have a class.
RARE_IMAGES, RARE_PIXELS = 0.01, 0.001
# Metadata that identifies a sample instead of describing it.
PROVENANCE = frozenset(
    {"dataset", "split", "source", "source_key", "source_dataset", "seed", "base", "adapter", "basis", "conditioning"}
)
# Nobody reads the counts of an attribute with more values.
MOST_VALUES = 1000
MOST_EXAMPLES = 5


def ranked(counts: Counter[_Value]) -> list[tuple[_Value, int]]:
    """Values with their counts, the most frequent first and equally frequent ones in the order of the values."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


@dataclass
class ValueCounts:
    """How often each value of an attribute occurs; ``counts`` is None for more than ``MOST_VALUES`` values."""

    counts: Counter[str] | None = field(default_factory=Counter)

    def merge(self, other: ValueCounts) -> None:
        """Add the counts of another; the result does not depend on the order of merging."""
        if self.counts is None or other.counts is None:
            self.counts = None
            return
        self.counts.update(other.counts)
        if len(self.counts) > MOST_VALUES:
            self.counts = None


@dataclass
class Faults:
    """How many samples failed for one kind of reason, and the first few reasons by key."""

    count: int = 0
    examples: dict[str, str] = field(default_factory=dict)

    def merge(self, other: Faults) -> None:
        """Add the failures of another."""
        self.count += other.count
        both = self.examples | other.examples
        self.examples = {key: both[key] for key in sorted(both)[:MOST_EXAMPLES]}


@dataclass
class Statistics:
    """Counts over the samples of a split that could be read, and over those that could not.

    ``pixels`` and ``images_with``, int64 [C], count the pixels and the images of each class; ``ignored`` and
    ``unknown`` the pixels with the ignore index and with ids of no class. ``sizes`` counts images by (height, width),
    ``layouts`` layouts by (components, rows, columns), ``views`` layouts by the number of their views.
    """

    classes: int
    samples: int = 0
    labelled: int = 0
    captioned: int = 0
    with_instances: int = 0
    instances: int = 0
    ignored: int = 0
    unknown: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    layouts: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    views: Counter[int] = field(default_factory=Counter)
    boxes: Counter[str] = field(default_factory=Counter)
    attributes: dict[str, ValueCounts] = field(default_factory=dict)
    failures: dict[str, Faults] = field(default_factory=dict)
    pixels: NDArray[np.int64] = field(init=False)
    images_with: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.pixels = np.zeros(self.classes, np.int64)
        self.images_with = np.zeros(self.classes, np.int64)

    def add(self, sample: Sample, ignore_index: int) -> None:
        """Count one sample."""
        self.samples += 1
        if sample.image is not None:
            height, width, _ = sample.image.shape
            self.sizes[height, width] += 1
        if sample.label is not None:
            self._add_label(sample.label, ignore_index)
        if sample.layout is not None:
            components, rows, columns = sample.layout.shape
            self.layouts[components, rows, columns] += 1
            self.views[0 if sample.views is None else len(sample.views)] += 1
        if sample.instances is not None:
            self.with_instances += 1
            self.instances += int(np.count_nonzero(np.unique(sample.instances)))
        self.captioned += CAPTIONS in sample.metadata
        boxes = sample.metadata.get(BOXES, ())
        assert isinstance(boxes, Sequence)
        self.boxes.update(str(box["category"]) for box in boxes if isinstance(box, Mapping))
        for name, value in sample.metadata.items():
            if name not in PROVENANCE and isinstance(value, (str, int)):
                self.attributes.setdefault(name, ValueCounts()).merge(ValueCounts(Counter([str(value)])))

    def _add_label(self, label: NDArray[np.unsignedinteger], ignore_index: int) -> None:
        self.labelled += 1
        counts = np.bincount(label.ravel(), minlength=max(self.classes, ignore_index + 1))
        of_classes, ignored = counts[: self.classes], int(counts[ignore_index])
        self.pixels += of_classes
        self.images_with += of_classes > 0
        self.ignored += ignored
        self.unknown += label.size - int(of_classes.sum()) - ignored

    def fail(self, key: str, reason: str) -> None:
        """Count a sample that could not be read."""
        self.failures.setdefault(kind_of(reason), Faults()).merge(Faults(1, {key: reason}))

    def merge(self, other: Statistics) -> None:
        """Add the counts of another."""
        for name in ("samples", "labelled", "captioned", "with_instances", "instances", "ignored", "unknown"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.pixels += other.pixels
        self.images_with += other.images_with
        self.sizes.update(other.sizes)
        self.layouts.update(other.layouts)
        self.views.update(other.views)
        self.boxes.update(other.boxes)
        for attribute, values in other.attributes.items():
            self.attributes.setdefault(attribute, ValueCounts()).merge(values)
        for kind, faults in other.failures.items():
            self.failures.setdefault(kind, Faults()).merge(faults)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of each class, float64 [C], among the pixels that have a class; zeros where none has."""
        return self.pixels / max(int(self.pixels.sum()), 1)

    @property
    def ignored_share(self) -> float:
        """Share of the ignored pixels among all labelled pixels."""
        return self.ignored / max(int(self.pixels.sum()) + self.ignored + self.unknown, 1)

    @property
    def failed(self) -> int:
        """Samples that could not be read."""
        return sum(faults.count for faults in self.failures.values())

    def rare(self) -> list[int]:
        """Train ids of the classes that occur, but in less than 1 % of the labelled images or 0.1 % of the pixels."""
        few = (self.images_with < RARE_IMAGES * self.labelled) | (self.shares < RARE_PIXELS)
        return np.flatnonzero(few & (self.pixels > 0)).tolist()

    def absent(self) -> list[int]:
        """Train ids of the classes that no labelled image shows; none where no image is labelled."""
        return np.flatnonzero(self.pixels == 0).tolist() if self.labelled else []

    def to_json(self, taxonomy: Taxonomy | None) -> dict[str, JSON]:
        """All figures as plain values, by class name where the taxonomy is known."""
        names = taxonomy.classes if taxonomy else ()
        shares = self.shares
        return {
            "samples": self.samples,
            "labelled": self.labelled,
            "captioned": self.captioned,
            "sizes": [
                {"height": height, "width": width, "images": count} for (height, width), count in ranked(self.sizes)
            ],
            "layouts": [
                {"components": components, "height": height, "width": width, "layouts": count}
                for (components, height, width), count in ranked(self.layouts)
            ],
            "views": [{"views": views, "layouts": count} for views, count in ranked(self.views)],
            "classes": {
                name: {
                    "pixels": int(self.pixels[index]),
                    "share": float(shares[index]),
                    "images": int(self.images_with[index]),
                }
                for index, name in enumerate(names)
            },
            "ignored": {"pixels": self.ignored, "share": self.ignored_share},
            "pixels_of_no_class": self.unknown,
            "rare": [names[index] for index in self.rare()],
            "absent": [names[index] for index in self.absent()],
            "instances": {"images": self.with_instances, "objects": self.instances},
            "boxes": dict(sorted(self.boxes.items())),
            "attributes": {
                name: None if values.counts is None else dict(ranked(values.counts))
                for name, values in sorted(self.attributes.items())
            },
            "unreadable": {
                kind: {"images": faults.count, "examples": list(faults.examples.values())}
                for kind, faults in sorted(self.failures.items())
            },
        }
