"""Training seed by seed: which runs there are follows from the results alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from downstream.comparison import ComparisonSummary, comparison_table, summarize
from downstream.looks import train_by_looks
from downstream.results import RunResult
from downstream.statistics.counts import Run
from downstream.statistics.question import Question
from downstream.statistics.sequential import look_levels

MIXES, SEEDS = ("real", "good", "bad"), tuple(range(8))


def result(mix: str, seed: int, gains: dict[str, float], noise: float = 0.002) -> RunResult:
    rng = np.random.default_rng([seed, MIXES.index(mix)])
    miou = 0.5 + gains.get(mix, 0) + noise * rng.normal()
    weights = {"real": 1.0, "synthetic": float(mix != "real")}
    inputs = {"mix": weights, "real": "aa", "synthetic": None}
    return RunResult(mix, seed, 10, miou, 0.9, {"road": miou}, [], 1.0, f"{mix}{seed}", inputs, 100)


def trained(gains: dict[str, float], noise: float = 0.002) -> tuple[list[RunResult], list[Sequence[Run]], list[str]]:
    asked: list[Sequence[Run]] = []
    lines: list[str] = []

    def train(runs: Sequence[Run]) -> list[RunResult]:
        asked.append(list(runs))
        return [result(mix, seed, gains, noise) for mix, seed in runs]

    question = Question(looks=len(SEEDS))

    def summary(results: Sequence[RunResult]) -> ComparisonSummary:
        return summarize(comparison_table(results), question)

    return train_by_looks(MIXES, SEEDS, train, summary, lines.append), asked, lines


def test_it_stops_when_the_answer_is_clear() -> None:
    results, asked, lines = trained({"good": 0.05, "bad": -0.001})
    assert asked[0] == [(mix, seed) for mix in MIXES for seed in range(3)]
    assert len(asked) < len(SEEDS) - 2
    assert lines == [f"the answer is clear after {len(asked) + 2} of 8 seeds"]
    assert {(of.mix, of.seed) for of in results} == {run for runs in asked for run in runs}


def test_a_mix_that_is_clearly_worse_stops_alone() -> None:
    results, _, lines = trained({"good": 0.012, "bad": -0.3}, noise=0.008)
    ends = {mix: max(of.seed for of in results if of.mix == mix) for mix in MIXES}
    assert ends["bad"] < ends["good"] == ends["real"]
    assert lines[0].startswith("bad is worse than real, and is not trained with more than")


def test_without_an_answer_all_seeds_are_trained_once() -> None:
    results, asked, lines = trained({}, noise=0.05)
    assert [(of.mix, of.seed) for of in results] == [run for runs in asked for run in runs]
    assert len(results) == len(MIXES) * len(SEEDS) == len({(of.mix, of.seed) for of in results})
    assert lines == []


def test_augmentation_that_is_better_does_not_end_the_training_of_synthetic_mixes() -> None:
    """The question is about synthetic data; see `recommend`."""
    gains, asked = {"good": 0.05, "bad": 0.006}, list[Sequence[Run]]()
    names = {"real": "real", "good": "real[augmented]", "bad": "real+synthetic"}

    def train(runs: Sequence[Run]) -> list[RunResult]:
        asked.append(runs)
        return [
            replace(result(own, seed, gains, noise=0.004), mix=mix)
            for mix, seed in runs
            for own, name in names.items()
            if name == mix
        ]

    def summary(results: Sequence[RunResult]) -> ComparisonSummary:
        return summarize(comparison_table(results), Question(looks=len(SEEDS)))

    results = train_by_looks(list(names.values()), SEEDS, train, summary, str)
    summaries = [summary([of for of in results if of.seed < look]) for look in range(3, len(SEEDS) + 1)]
    first = next(look for look, of in enumerate(summaries, 3) if of.mixes[1].is_better(0.01))
    last = summaries[len(asked) - 1].mixes[2]
    assert first < len(asked) + 2
    assert last.seeds == len(asked) + 2
    assert len(asked) + 2 == len(SEEDS) or last.is_small(0.01) or last.is_better(0.01)


@pytest.mark.parametrize("looks", [None, 8])
def test_intervals_of_early_looks_are_wider_than_those_of_one(looks: int | None) -> None:
    results = [result(mix, seed, {}) for mix in ("real", "good") for seed in range(4)]
    once, repeated = (
        summarize(comparison_table(results), question).mixes[1].interval
        for question in (Question(), Question(looks=looks))
    )
    assert once is not None and repeated is not None
    assert (np.ptp(repeated) > 1.5 * np.ptp(once)) == (looks is not None)


def test_each_look_is_a_t_test_at_its_share_of_the_error() -> None:
    """That this keeps the error of all looks and mixes together is tested in statistics/test_coverage.py."""
    levels, ends = look_levels(6), []
    for trial in range(40):
        scores = np.random.default_rng(trial).normal(0.5, 0.01, (3, 6)) + np.array([[0], [0.02], [-0.02]])

        def train(runs: Sequence[Run], scores: NDArray[np.float64] = scores) -> list[RunResult]:
            return [replace(result(mix, seed, {}), miou=scores[MIXES.index(mix), seed]) for mix, seed in runs]

        def summary(results: Sequence[RunResult]) -> ComparisonSummary:
            return summarize(comparison_table(results), Question(smallest_gain=1e-9, looks=6))

        results = train_by_looks(MIXES, range(6), train, summary, str)
        better, worse = (
            [
                look
                for look in levels
                if stats.ttest_1samp(gains[:look], 0).pvalue <= levels[look] / 2 and sign * gains[:look].mean() > 0
            ]
            for sign, gains in ((1, scores[1] - scores[0]), (-1, scores[2] - scores[0]))
        )
        ends.append(min([*better, 6]))
        assert max(of.seed for of in results if of.mix == "good") + 1 == ends[-1]
        assert max(of.seed for of in results if of.mix == "bad") + 1 == min([*worse, ends[-1]])
    assert len(set(ends)) > 2
