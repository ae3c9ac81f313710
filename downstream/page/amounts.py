"""How many synthetic images each mix of a comparison takes, and what it took to make them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augment.errors import UserError
from downstream.arms import PSEUDO, SYNTHETIC, parse_arm
from downstream.comparison import ComparisonSummary
from downstream.options import ArmOptions
from downstream.results import RunResult
from downstream.statistics.growth import gain_per_hour
from downstream.statistics.summary import Interval, MixSummary
from downstream.training_data import TrainingData
from pipeline.datasets import TRAIN_SPLIT
from pipeline.store import Store, Totals

_GPUS = re.compile(r"\b(\d+) GPUs")


@dataclass(frozen=True)
class Amount:
    """The synthetic images of a mix.

    Attributes:
        curated, raw: training images that it may take, of each store.
    """

    curated: int = 0
    raw: int = 0

    @property
    def images(self) -> int:
        """All of them."""
        return self.curated + self.raw


@dataclass(frozen=True)
class Yield:
    """What a mix gains for the work that it takes.

    Attributes:
        mix: its name.
        images: synthetic images that it may take.
        seconds: of work above that of its baseline, over all workers; None where times are unknown.
        gain: points of mIoU for an hour of it; None where the time is unknown, or no longer than the baseline's.
        interval: of that.
    """

    mix: str
    images: int
    seconds: float | None
    gain: float | None
    interval: Interval | None


def amounts(mixes: Sequence[str], stores: Mapping[str, Store]) -> dict[str, Amount]:
    """The synthetic images of each mix; those that no longer say are left out.

    Args:
        mixes: expressions.
        stores: `real`, `synthetic` and `curated`, those that are there.
    """
    real, curated, raw = (stores[name].url if name in stores else None for name in ("real", "curated", "synthetic"))
    found = {}
    for mix in mixes:
        try:
            data = TrainingData.of(mix, ArmOptions(), str(real), curated, raw, Path(), TRAIN_SPLIT)
            keys: dict[str, set[str]] = {"curated": set(), "raw": set()}
            for term, part in data.parts(Path()).items():
                if term.source == SYNTHETIC:
                    keys["curated" if part.store_url == curated else "raw"] |= set(part.rows()["key"].to_pylist())
        except UserError:
            # A name from Python that is no expression, or a store that has changed since.
            continue
        found[mix] = Amount(len(keys["curated"]), len(keys["raw"]))
    return found


def yields(
    summary: ComparisonSummary,
    found: Mapping[str, Amount],
    stores: Mapping[str, Store],
    judge: RunResult | None,
    rows: Sequence[Mapping[str, Any]],
) -> list[Yield]:
    """What each mix with synthetic images gains for an hour of work, where any of their times is known.

    The work is that of painting and curating its share of the images, of the judge where it curates or predicts labels,
    and of the training, above that of the baseline. What was done before, such as training the adapter, is left out.

    Args:
        summary: of the comparison.
        found: of `amounts`.
        stores: as for `amounts`.
        judge: its training.
        rows: of the comparison.
    """
    trained = {mix.mix: [row["seconds"] for row in rows if row["mix"] == mix.mix] for mix in summary.mixes}
    totals, made = {name: store.totals() for name, store in stores.items()}, []
    judged = _judged(stores)
    for mix in summary.mixes:
        amount = found.get(mix.mix, Amount())
        if mix.baseline is None or mix.difference is None or not amount.images:
            continue
        before, after = (sum(trained[name]) / len(trained[name]) for name in (mix.baseline, mix.mix))
        seconds = _making(mix, amount, totals, judged, judge)
        seconds = None if seconds is None else seconds + after - before
        made.append(_yield(mix, amount, seconds))
    return made if any(one.gain is not None for one in made) else []


def _yield(mix: MixSummary, amount: Amount, seconds: float | None) -> Yield:
    if seconds is None or seconds <= 0:
        return Yield(mix.mix, amount.images, seconds, None, None)
    gain, within = gain_per_hour(mix.gain, mix.interval, seconds)
    return Yield(mix.mix, amount.images, seconds, gain, within)


def _judged(stores: Mapping[str, Store]) -> int:
    """Synthetic images that curation has judged; those of the held-out split are not among them."""
    if "synthetic" not in stores or "curated" not in stores:
        return 0
    shards = stores["curated"].done()
    return sum(shard in shards for shard in stores["synthetic"].index()["shard"].to_pylist())


def _making(
    mix: MixSummary, amount: Amount, totals: Mapping[str, Totals], judged: int, judge: RunResult | None
) -> float | None:
    """Seconds of the workers that made the images of a mix; None where a time is unknown."""
    arm, seconds = parse_arm(mix.mix), 0.0
    synthetic, curated = totals.get("synthetic"), totals.get("curated")
    if synthetic is None or not (synthetic.samples and synthetic.seconds):
        return None
    painting = synthetic.seconds / synthetic.samples
    if amount.curated:
        if curated is None or not (curated.samples and curated.seconds):
            return None
        # Images that curation drops were painted too: kept ones have their share of that.
        seconds += amount.curated / curated.samples * (judged * painting + curated.seconds)
    seconds += amount.raw * painting
    if arm.uses_curated or arm.uses(PSEUDO):
        if judge is None:
            return None
        seconds += judge.seconds
    return seconds


def unit_of_work(history: Sequence[Mapping[str, Any]]) -> str:
    """`GPU-hour` if all runs that are recorded had GPUs, else `hour of a worker`."""
    machines = [str(run.get("machine", "")) for run in history]
    return "GPU-hour" if machines and all(map(_has_gpus, machines)) else "hour of a worker"


def _has_gpus(machine: str) -> bool:
    counted = _GPUS.search(machine)
    return int(counted[1]) > 0 if counted else bool(machine) and "no GPU" not in machine
