"""The results of all mixes in one table, and the recommendation that follows from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats

from augment.errors import UserError
from augment.files import written_whole
from downstream.results import RunResult

CONFIDENCE = 0.95
# Below either, a difference may be chance, and nothing is recommended: one seed does not show the spread between seeds,
# and among few images a handful of hard ones decide.
MIN_SEEDS, MIN_IMAGES = 2, 30


def comparison_table(results: Sequence[RunResult]) -> pa.Table:
    """A row for each run, sorted by mix in the order given and by seed.

    Columns: mix, weight/real, weight/synthetic, seed, iterations, images (evaluated; null in results of old
    versions), miou, aacc, ``iou/<class>`` (null where absent), seconds, real and synthetic (digests of the stores;
    null where unused), fingerprint. All IoU are in 0..1.

    Raises:
        UserError: there is no run, or runs differ in iterations or real data and cannot be compared.
    """
    if not results:
        raise UserError("nothing to compare: no training run is finished")
    if len({(result.iterations, result.inputs["real"]) for result in results}) > 1:
        raise UserError("runs with different iterations or real data cannot be compared: remove the old ones")
    order = {mix: place for place, mix in enumerate(dict.fromkeys(result.mix for result in results))}
    rows = [_row(result) for result in sorted(results, key=lambda result: (order[result.mix], result.seed))]
    table = pa.Table.from_pylist(rows)
    # A column of nulls alone has no type by itself.
    return table.set_column(table.column_names.index("images"), "images", table["images"].cast(pa.int64()))


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table as parquet."""
    with written_whole(path) as scratch:
        pq.write_table(table, scratch)


@dataclass(frozen=True)
class MixSummary:
    """One mix over its seeds.

    Attributes:
        mix: its name.
        seeds: number of runs.
        mean: of mIoU.
        spread: sample standard deviation of mIoU; None with one seed.
        difference: mean difference to real only, over the seeds both have; None for real only itself, or
            where no seed is shared.
        interval: confidence interval of the difference, from a paired t-test; None with fewer than two shared
            seeds.
        pairs: seeds that it shares with real only, which the difference and its interval are over.
    """

    mix: str
    seeds: int
    mean: float
    spread: float | None
    difference: float | None
    interval: tuple[float, float] | None
    pairs: int


@dataclass(frozen=True)
class ComparisonSummary:
    """All mixes against the baseline, and what to do, or what is missing to decide it.

    `images` is the number of images that it was measured on; None where they were not counted.
    """

    mixes: tuple[MixSummary, ...]
    baseline: str | None
    recommendation: str
    images: int | None


def paired_interval(differences: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Student's t confidence interval of the mean of paired differences; None for fewer than two."""
    count = len(differences)
    if count < 2:
        return None
    values = np.asarray(differences, np.float64)
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(count)
    half = float(stats.t.ppf((1 + confidence) / 2, count - 1)) * error
    return mean - half, mean + half


def summarize(table: pa.Table) -> ComparisonSummary:
    """Mean, spread and paired difference of each mix against real only, and a recommendation.

    The baseline is the mix with no synthetic samples.
    """
    rows = table.to_pylist()
    scores: dict[str, dict[int, float]] = {}
    for row in rows:
        scores.setdefault(row["mix"], {})[row["seed"]] = row["miou"]
    baseline = next((row["mix"] for row in rows if row["weight/synthetic"] == 0), None)
    mixes = tuple(_summary(mix, by_seed, scores, baseline) for mix, by_seed in scores.items())
    # Tables of older versions do not say on how many images.
    images = rows[0].get("images")
    return ComparisonSummary(mixes, baseline, _recommendation(mixes, baseline, images), images)


def _row(result: RunResult) -> dict[str, Any]:
    return {
        "mix": result.mix,
        "weight/real": float(result.inputs["mix"]["real"]),
        "weight/synthetic": float(result.inputs["mix"]["synthetic"]),
        "seed": result.seed,
        "iterations": result.iterations,
        "images": result.images,
        "miou": result.miou,
        "aacc": result.aacc,
        **{f"iou/{name}": value for name, value in result.iou.items()},
        "seconds": result.seconds,
        "real": result.inputs["real"],
        "synthetic": result.inputs["synthetic"],
        "fingerprint": result.fingerprint,
    }


def _summary(
    mix: str, by_seed: dict[int, float], scores: dict[str, dict[int, float]], baseline: str | None
) -> MixSummary:
    values = list(by_seed.values())
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    difference, interval, paired = None, None, []
    if baseline is not None and mix != baseline:
        paired = [score - scores[baseline][seed] for seed, score in by_seed.items() if seed in scores[baseline]]
        difference = float(np.mean(paired)) if paired else None
        interval = paired_interval(paired)
    return MixSummary(mix, len(values), float(np.mean(values)), spread, difference, interval, len(paired))


def _recommendation(mixes: Sequence[MixSummary], baseline: str | None, images: int | None) -> str:
    others = [mix for mix in mixes if mix.difference is not None]
    if baseline is None or not others:
        return "Too few mixes to compare: train on real only, and on at least one mix with synthetic samples."
    best = max(others, key=_gain)
    if lacking := _lacking(max(mix.pairs for mix in others), images):
        return f"No recommendation: it takes {lacking}. So far {_scores(best, baseline, images)}, which may be chance."
    better = [mix for mix in others if mix.interval is not None and mix.interval[0] > 0]
    if not better:
        no = f"The synthetic data did not help: no mix is reliably better than {baseline}"
        return f"{no}. At best, {_scores(best, baseline, images)}."
    best = max(better, key=_gain)
    return f"Train on {best.mix}: {_points(best, baseline, images)}."


def _gain(mix: MixSummary) -> float:
    return mix.difference or 0.0


def _lacking(seeds: int, images: int | None) -> str:
    """What a recommendation needs that these seeds and images do not give; empty where they are enough."""
    wanted = [f"at least {MIN_SEEDS} seeds (downstream.seeds=[0,1])"] if seeds < MIN_SEEDS else []
    if images is not None and images < MIN_IMAGES:
        wanted.append(f"at least {MIN_IMAGES} held-out images")
    return " and ".join(wanted)


def _scores(mix: MixSummary, baseline: str, images: int | None) -> str:
    return f"{mix.mix} scores {_points(mix, baseline, images)}"


def _points(mix: MixSummary, baseline: str, images: int | None) -> str:
    """The difference, its interval if any, and the seeds and images behind both."""
    rests = "one seed: no interval"
    if mix.interval is not None:
        low, high = (100 * bound for bound in mix.interval)
        rests = f"{CONFIDENCE:.0%} interval {low:+.1f} to {high:+.1f} over {counted(mix.pairs, 'seed')}"
    on = "" if images is None else f", on {counted(images, 'image')}"
    return f"{100 * _gain(mix):+.1f} points of mIoU against {baseline} ({rests}{on})"


def counted(number: int, noun: str) -> str:
    """A number with its noun, as `1 seed` or `2 seeds`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
