"""Successive halving: many mixes train shortly, the best of them longer, until one is left.

Jamieson and Talwalkar, *Non-stochastic best arm identification and hyperparameter optimization*, AISTATS 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from augment.errors import UserError
from downstream.arms import baseline_of
from downstream.search_options import RungPlan
from downstream.statistics.recommendation import counted

# mIoU (0..1) of a training, or why there is none.
Outcome = float | str
# Trains the mixes of a rung with its seeds: mix and seed -> what came of it.
TrainRung = Callable[[Sequence[str], RungPlan], Mapping[tuple[str, int], Outcome]]


@dataclass(frozen=True)
class Entry:
    """A mix in one rung.

    Attributes:
        mix: its name.
        baseline: the mix of real images that it is measured against.
        miou: mean over the seeds, 0..1; None where it could not be trained.
        gain: mean difference to the baseline with the same seeds.
        failed: why it could not be trained; empty where it was.
        goes_on: whether the next rung trains it, or in the last one, whether it is the winner.
    """

    mix: str
    baseline: str
    miou: float | None
    gain: float | None
    failed: str
    goes_on: bool


@dataclass(frozen=True)
class Rung:
    """What came of one rung.

    Attributes:
        iterations: of each training.
        seeds: of each mix.
        entries: the one that gained most first; those that could not be trained last.
    """

    iterations: int
    seeds: tuple[int, ...]
    entries: tuple[Entry, ...]

    @property
    def kept(self) -> tuple[str, ...]:
        """The mixes that go on."""
        return tuple(entry.mix for entry in self.entries if entry.goes_on)


@dataclass(frozen=True)
class SearchResult:
    """A finished search.

    Attributes:
        rungs: in their order.
        images: held-back training images that it measured on.
    """

    rungs: tuple[Rung, ...]
    images: int

    @property
    def best(self) -> Entry:
        """The winner in the last rung."""
        return self.rungs[-1].entries[0]

    @property
    def winner(self) -> str:
        """The mix that gained most in the last rung."""
        return self.best.mix

    @property
    def sentence(self) -> str:
        """What was found, with its evidence."""
        last, best, count = self.rungs[-1], self.best, len(self.rungs[0].entries)
        assert best.gain is not None
        trained = f"{counted(last.iterations, 'iteration')}, {counted(len(last.seeds), 'seed')}"
        on = f"{best.baseline} on {counted(self.images, 'held-back image')} ({trained})"
        rests = f"{100 * best.gain:+.1f} points of mIoU against {on}"
        ties = [entry.mix for entry in last.entries[1:] if entry.gain == best.gain]
        tied = f" {' and '.join(ties)} scored the same; the first in the list was taken." if ties else ""
        if best.gain > 0:
            return f"Of {count} mixes, {best.mix} gained most: {rests}.{tied}"
        return f"None of {count} mixes is above its baseline; the best is {best.mix}: {rests}.{tied}"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "winner": self.winner, "sentence": self.sentence}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SearchResult:
        """Inverse of `to_json`."""
        rungs = tuple(
            Rung(rung["iterations"], tuple(rung["seeds"]), tuple(Entry(**entry) for entry in rung["entries"]))
            for rung in content["rungs"]
        )
        return cls(rungs, content["images"])


def halve(
    candidates: Sequence[str],
    plans: Sequence[RungPlan],
    train: TrainRung,
    images: int,
    report: Callable[[str], None] = lambda _: None,
) -> SearchResult:
    """Search for the mix that gains most over its own baseline, which each rung trains too.

    Of mixes that gain the same, the first in the list is taken. A mix that cannot be trained leaves the search.

    Args:
        candidates: all mixes, none of them a baseline.
        plans: the rungs.
        train: trains mixes.
        images: that are measured on.
        report: called with a line after each rung.

    Raises:
        UserError: a baseline, or every mix of a rung, cannot be trained.
    """
    mixes, rungs = tuple(candidates), list[Rung]()
    for number, plan in enumerate(plans):
        wanted = plans[number + 1].mixes if number + 1 < len(plans) else 1
        baselines = {mix: baseline_of(mix) for mix in mixes}
        found = train((*dict.fromkeys(baselines.values()), *mixes), plan)
        rung = _rung(plan, baselines, found, wanted)
        rungs.append(rung)
        mixes = tuple(mix for mix in mixes if mix in rung.kept)
        report(_progress(number, len(plans), rung))
    return SearchResult(tuple(rungs), images)


def _rung(plan: RungPlan, baselines: Mapping[str, str], found: Mapping[tuple[str, int], Outcome], wanted: int) -> Rung:
    for name in dict.fromkeys(baselines.values()):
        for seed in plan.seeds:
            if isinstance(reason := found[name, seed], str):
                raise UserError(f"search: the baseline {name} cannot be trained: {reason}")
    entries = [_entry(mix, name, plan.seeds, found) for mix, name in baselines.items()]
    # A stable sort keeps the order of the list among equals.
    ranked = sorted(entries, key=lambda entry: (entry.gain is None, -(entry.gain or 0.0)))
    if ranked[0].gain is None:
        raise UserError(f"search: no mix can be trained, the first because of this: {ranked[0].failed}")
    kept = (entry.gain is not None and place < wanted for place, entry in enumerate(ranked))
    rows = (Entry(**{**vars(entry), "goes_on": goes_on}) for entry, goes_on in zip(ranked, kept, strict=True))
    return Rung(plan.iterations, plan.seeds, tuple(rows))


def _entry(mix: str, baseline: str, seeds: Sequence[int], found: Mapping[tuple[str, int], Outcome]) -> Entry:
    scores: list[float] = []
    gains: list[float] = []
    for seed in seeds:
        score, before = found[mix, seed], found[baseline, seed]
        if isinstance(score, str):
            return Entry(mix, baseline, None, None, score, goes_on=False)
        assert not isinstance(before, str)
        scores.append(score)
        gains.append(score - before)
    return Entry(mix, baseline, sum(scores) / len(scores), sum(gains) / len(gains), "", goes_on=False)


def _progress(number: int, count: int, rung: Rung) -> str:
    best, kept = rung.entries[0], len(rung.kept)
    failed = sum(bool(entry.failed) for entry in rung.entries)
    without = f"; {failed} could not be trained" if failed else ""
    goes_on = "the winner" if number + 1 == count else f"{kept} of {len(rung.entries)} go on"
    assert best.gain is not None
    return (
        f"rung {number + 1} of {count}, {counted(rung.iterations, 'iteration')}: {best.mix} gains most, "
        f"{100 * best.gain:+.1f} points; {goes_on}{without}"
    )
