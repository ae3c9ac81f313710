"""Which number of layout components to train on, from what a segmenter learned of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

from downstream.statistics import CONFIDENCE, MIN_SEEDS
from downstream.statistics.counts import ImageCounts
from downstream.statistics.runs import Runs, runs_of
from downstream.statistics.summary import interval


@dataclass(frozen=True)
class RecommendedK:
    """Which k to train on.

    Attributes:
        k: that scores highest; None where no two ks were trained on.
        equals: other ks that cannot be distinguished from it.
        sentence: the recommendation with its evidence.
    """

    k: int | None
    equals: tuple[int, ...]
    sentence: str


def recommend_k(
    rows: Sequence[Mapping[str, Any]],
    mixes: Mapping[int, str],
    counts: Mapping[tuple[str, int], ImageCounts] | None = None,
    evaluation: Sequence[Mapping[str, Any]] = (),
    curve_ks: Sequence[int] = (),
) -> RecommendedK:
    """The k whose images teach a segmenter most, each k in a mix of its own.

    The one with the highest mean over the seeds that all have is compared with each other one. It was chosen from these
    scores, so the intervals hold for all pairs of ks together.

    Args:
        rows: of `downstream.comparison.comparison_table`.
        mixes: k -> the mix with images of this k alone, such as ``real+synthetic[k=5]``; missing runs are left out.
        counts: mix and seed -> what was counted in each image.
        evaluation: rows of `downstream.evaluation.evaluate`.
        curve_ks: those that the layout curves recommend; see `augment.layouts.curves.recommended_ks`.
    """
    runs = runs_of(rows, counts or {}) if rows else {}
    of_k = {k: runs[mix] for k, mix in sorted(mixes.items()) if mix in runs}
    seeds = set.intersection(*({*one.scores} for one in of_k.values())) if of_k else set()
    curves = f"the layout curves recommend {_listed(curve_ks)}" if curve_ks else ""
    if len(of_k) < 2 or not seeds:
        asked = "no recommendation of k from training: it takes two mixes or more, each with images of one k"
        return RecommendedK(None, (), _sentence([asked, curves]))
    means = {k: sum(one.scores[seed] for seed in seeds) / len(seeds) for k, one in of_k.items()}
    best = max(means, key=lambda k: means[k])
    lower, equal = _against(best, of_k)
    evidence = [
        f"take k={best}: {100 * means[best]:.1f} mIoU, the highest of {_listed(list(of_k))} over {len(seeds)} seeds"
    ]
    evidence += [f"reliably above {'; '.join(lower)}"] if lower else []
    if len(seeds) < MIN_SEEDS:
        evidence.append(f"fewer than {MIN_SEEDS} seeds, so this may be chance")
    elif equal:
        evidence.append(f"not distinguished from {_listed(equal)}")
    measured = next((row for row in evaluation if row["k"] == best), None)
    if measured is not None and measured["alignment"] is not None:
        diversity = "" if measured["diversity"] is None else f" and diversity {measured['diversity']:.3f}"
        evidence.append(f"its images have alignment {measured['alignment']:.2f}{diversity}")
    return RecommendedK(best, tuple(equal), _sentence([*evidence, curves]))


def _against(best: int, of_k: Mapping[int, Runs]) -> tuple[list[str], list[int]]:
    """The ks that are reliably lower than the best, each with its interval, and those that are not."""
    level = (1 - CONFIDENCE) / comb(len(of_k), 2)
    lower, equal = [], []
    for k, other in of_k.items():
        if k == best:
            continue
        found = of_k[best].difference(other) if len(of_k[best].shared(other)) >= MIN_SEEDS else None
        low, high = interval(found[0], 1 - level) if found is not None else (0.0, 0.0)
        if low > 0:
            lower.append(f"k={k} by {100 * low:.1f} to {100 * high:.1f} points")
        else:
            equal.append(k)
    return lower, equal


def _listed(ks: Sequence[int]) -> str:
    *first, last = (f"k={k}" for k in ks)
    return f"{', '.join(first)} and {last}" if first else last


def _sentence(parts: Sequence[str]) -> str:
    text = "; ".join(part for part in parts if part)
    return f"{text[0].upper()}{text[1:]}."
