"""The runs of one mix, and the difference between those of two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError
from downstream.statistics.counts import ImageCounts
from downstream.statistics.intervals import Areas, Difference, counted_differences, seed_difference


@dataclass(frozen=True)
class Runs:
    """The finished runs of a mix.

    Attributes:
        scores: seed -> mIoU, 0..1.
        counts: seed -> what was counted in each image; empty where that is unknown.
    """

    scores: Mapping[int, float]
    counts: Mapping[int, ImageCounts]

    @property
    def mean(self) -> float:
        """Of mIoU over the seeds."""
        return float(np.mean(list(self.scores.values())))

    @property
    def spread(self) -> float | None:
        """Sample standard deviation of mIoU between the seeds; None with one."""
        return float(np.std(list(self.scores.values()), ddof=1)) if len(self.scores) > 1 else None

    def shared(self, other: Runs) -> list[int]:
        """The seeds of both, in ascending order."""
        return sorted(self.scores.keys() & other.scores.keys())

    def gain(self, other: Runs) -> float | None:
        """Mean difference of mIoU to another mix over the seeds of both; None if there is none."""
        seeds = self.shared(other)
        return float(np.mean([self.scores[seed] - other.scores[seed] for seed in seeds])) if seeds else None

    def difference(self, other: Runs) -> tuple[Difference, Difference | None] | None:
        """The difference of mIoU to another mix over the seeds of both, and that of each class.

        The classes are None where single images are unknown; all is None with fewer than two seeds.
        """
        seeds = self.shared(other)
        if len(seeds) < 2:
            return None
        if not (self.counts and other.counts):
            return seed_difference(np.array([self.scores[seed] - other.scores[seed] for seed in seeds])), None
        return counted_differences(self._areas(seeds), other._areas(seeds), self.counts[seeds[0]].label)

    def _areas(self, seeds: Sequence[int]) -> Areas:
        counts = [self.counts[seed] for seed in seeds]

        def areas(classes: slice) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
            some = [of.of_classes(classes) for of in counts]
            return np.stack([of.intersection for of in some]), np.stack([of.union for of in some])

        return areas


def runs_of(rows: Sequence[Mapping[str, Any]], counts: Mapping[tuple[str, int], ImageCounts]) -> dict[str, Runs]:
    """The runs of each mix.

    With the counts of all runs, mIoU is over the classes that occur in the labels: a class that occurs in none would be
    0 for a mix that predicts one pixel of it, and left out for another. Otherwise it is that of the table, and images
    count as given.

    Args:
        rows: of `downstream.comparison.comparison_table`.
        counts: mix and seed -> what was counted in each image.

    Raises:
        UserError: runs were evaluated on different images or classes.
    """
    scores: dict[str, dict[int, float]] = {}
    kept: dict[str, dict[int, ImageCounts]] = {}
    whole = all((row["mix"], row["seed"]) in counts for row in rows)
    first = counts[rows[0]["mix"], rows[0]["seed"]] if whole else None
    for row in rows:
        mix, seed, score = row["mix"], row["seed"], row["miou"]
        if first is not None:
            own = counts[mix, seed]
            if (own.keys, own.classes) != (first.keys, first.classes) or (own.label != first.label).any():
                raise UserError(f"{mix}, seed {seed} was evaluated on other images than the rest: remove its run")
            kept.setdefault(mix, {})[seed] = own
            score = labelled_miou(own)
        scores.setdefault(mix, {})[seed] = score
    return {mix: Runs(of, kept.get(mix, {})) for mix, of in scores.items()}


def labelled_miou(counts: ImageCounts) -> float:
    """The mIoU (0..1) over the classes that occur in the labels."""
    occurs = counts.label.sum(axis=0) > 0
    return float((counts.intersection.sum(axis=0)[occurs] / counts.union.sum(axis=0)[occurs]).mean())
