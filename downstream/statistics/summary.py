"""All mixes against the baseline, with intervals that hold for all of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from downstream.arms import SYNTHETIC, parse_arm
from downstream.statistics import CONFIDENCE, MIN_CLASS_IMAGES, MIN_SEEDS
from downstream.statistics.counts import ImageCounts
from downstream.statistics.intervals import Difference
from downstream.statistics.planning import images_needed, seeds_needed
from downstream.statistics.question import Question
from downstream.statistics.runs import Runs, runs_of
from downstream.statistics.sequential import level_at

Interval = tuple[float, float]


@dataclass(frozen=True)
class ClassSummary:
    """The IoU of one class against the baseline.

    Attributes:
        name: of the class.
        images: that have it.
        difference: mean difference of its IoU.
        interval: of this class alone, at 95 %; None with fewer than `MIN_CLASS_IMAGES` images.
    """

    name: str
    images: int
    difference: float
    interval: Interval | None


@dataclass(frozen=True)
class MixSummary:
    """One mix over its seeds.

    Attributes:
        mix: its name.
        seeds: number of runs.
        mean: of mIoU.
        scores: seed -> mIoU that was compared, 0..1.
        spread: sample standard deviation of mIoU between seeds; None with one seed.
        baseline: the mix that it is compared with; None for a baseline itself.
        difference: mean difference to the baseline, over the seeds both have; None where no seed is shared.
        interval: of the difference, over seeds and images; the intervals of all mixes hold together. None with fewer
            than two shared seeds.
        pairs: seeds that it shares with the baseline, which the difference and its interval are over.
        classes: each class; empty where single images are unknown, or with fewer than two shared seeds.
        seeds_needed: seeds in all to see the smallest gain; None if no number is enough, or without an interval.
        images_needed: images in all to see it with many seeds; None where single images are unknown.
    """

    mix: str
    seeds: int
    mean: float
    spread: float | None
    scores: Mapping[int, float] = field(default_factory=dict)
    baseline: str | None = None
    difference: float | None = None
    interval: Interval | None = None
    pairs: int = 0
    classes: tuple[ClassSummary, ...] = ()
    seeds_needed: int | None = None
    images_needed: int | None = None

    @property
    def gain(self) -> float:
        """The difference; 0 for a baseline."""
        return self.difference or 0.0

    def is_synthetic(self) -> bool:
        """Whether it has synthetic data, which the answer is about."""
        try:
            return parse_arm(self.mix).uses_synthetic
        except ValueError:
            # A name from Python that is no expression.
            return SYNTHETIC in self.mix

    def is_decided(self) -> bool:
        """Whether it has an interval to decide by."""
        return self.interval is not None and self.pairs >= MIN_SEEDS

    def is_worse(self) -> bool:
        """Whether it is reliably worse than the baseline."""
        return self.interval is not None and self.is_decided() and self.interval[1] < 0

    def is_small(self, smallest_gain: float) -> bool:
        """Whether its gain is reliably below one that is worth having."""
        return self.interval is not None and self.is_decided() and self.interval[1] < smallest_gain

    def is_better(self, smallest_gain: float) -> bool:
        """Whether it is reliably better than the baseline, by what may be worth having."""
        better = self.interval is not None and self.is_decided() and self.interval[0] > 0
        return better and not self.is_small(smallest_gain)


def summaries(
    rows: Sequence[Mapping[str, Any]],
    baselines: Mapping[str, str | None],
    question: Question,
    counts: Mapping[tuple[str, int], ImageCounts],
) -> tuple[MixSummary, ...]:
    """The summary of each mix, in the order of the rows.

    The intervals against the baselines hold for all mixes together by Bonferroni's inequality: each has its share of
    the error. Holm's method would find an effect in no more comparisons, because its first step is the same.

    Args:
        rows: of `downstream.comparison.comparison_table`.
        baselines: mix -> the one to compare it with; None, and itself, compares nothing.
        question: what is asked.
        counts: mix and seed -> what was counted in each image; see `runs_of`.
    """
    runs = runs_of(rows, counts)
    pairs = {mix: name for mix in runs if (name := baselines[mix]) is not None and name != mix}
    return tuple(_summary(mix, runs, pairs.get(mix), question, len(pairs)) for mix in runs)


def _summary(mix: str, all_runs: Mapping[str, Runs], name: str | None, question: Question, family: int) -> MixSummary:
    runs = all_runs[mix]
    facts: dict[str, Any] = {"mix": mix, "seeds": len(runs.scores), "mean": runs.mean, "spread": runs.spread}
    facts["scores"] = dict(runs.scores)
    if name is None:
        return MixSummary(**facts)
    baseline = all_runs[name]
    facts["baseline"] = name
    pairs = len(runs.shared(baseline))
    facts |= {"difference": runs.gain(baseline), "pairs": pairs}
    found = runs.difference(baseline)
    if found is None:
        return MixSummary(**facts)
    of_mean, of_classes = found
    level = level_at(pairs, question.looks) / family
    last = level_at(question.looks or pairs, question.looks) / family
    facts["interval"] = interval(of_mean, 1 - level)
    facts["seeds_needed"] = seeds_needed(of_mean, question.smallest_gain, last)
    if of_classes is not None:
        counted = next(iter(runs.counts.values()))
        facts["images_needed"] = images_needed(of_mean, len(counted.keys), question.smallest_gain, last)
        facts["classes"] = _classes(of_classes, counted)
    return MixSummary(**facts)


def interval(difference: Difference, confidence: float) -> Interval:
    """The interval of a single difference."""
    mean, half = float(difference.mean), float(difference.half_width(confidence))
    return mean - half, mean + half


def _classes(differences: Difference, counts: ImageCounts) -> tuple[ClassSummary, ...]:
    halves = differences.half_width(CONFIDENCE)
    found = []
    for place, name in enumerate(counts.classes):
        images, mean = int(np.count_nonzero(counts.label[:, place])), float(differences.mean[place])
        within = (mean - float(halves[place]), mean + float(halves[place])) if images >= MIN_CLASS_IMAGES else None
        if images:
            found.append(ClassSummary(name, images, mean, within))
    return tuple(found)


def mix_summary_from_json(content: Mapping[str, Any]) -> MixSummary:
    """Inverse of `dataclasses.asdict` over JSON."""
    classes = tuple(
        ClassSummary(**{**of, "interval": None if of["interval"] is None else tuple(of["interval"])})
        for of in content["classes"]
    )
    within = content["interval"]
    scores = {int(seed): score for seed, score in content["scores"].items()}
    interval_of = {"interval": None if within is None else tuple(within)}
    return MixSummary(**{**content, **interval_of, "classes": classes, "scores": scores})
