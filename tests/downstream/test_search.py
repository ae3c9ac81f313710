"""Successive halving: what goes on, what wins, what it costs, and what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from augment.errors import UserError
from downstream.search import Outcome, SearchResult, TrainRung, halve
from downstream.search_options import RungPlan, SearchOptions

KS = tuple(range(1, 10))


def trainer(gains: Mapping[str, Outcome], ran: list[tuple[str, int, int]] | None = None) -> TrainRung:
    """Trainings whose mIoU is the gain of the mix above that of its baseline, which depends on the seed."""

    def train(mixes: Sequence[str], plan: RungPlan) -> dict[tuple[str, int], Outcome]:
        found: dict[tuple[str, int], Outcome] = {}
        for mix in mixes:
            for seed in plan.seeds:
                gain = gains.get(mix, 0.0)
                found[mix, seed] = gain if isinstance(gain, str) else 0.3 + 0.001 * (seed % 7) + gain
                if ran is not None:
                    ran.append((mix, plan.iterations, seed))
        return found

    return train


def by_k(gains: Mapping[int, Outcome]) -> dict[str, Outcome]:
    return {f"real+synthetic[k={k}]": gain for k, gain in gains.items()}


def found_by(options: SearchOptions, gains: Mapping[str, Outcome]) -> SearchResult:
    return halve(options.candidates, options.rungs(900), trainer(gains), 40)


def test_lists_give_every_combination_after_the_mixes_that_are_written_out() -> None:
    options = SearchOptions(
        mixes=("synthetic > real",),
        ks=(1, 20),
        ratios=(1, 0.5),
        filters=("weather=night", ""),
        guidance_scales=(1.5, 3),
        curation=(True, False),
        real="real[10%]",
    )
    assert len(options.candidates) == 1 + 2**5
    assert options.candidates[:2] == ("synthetic > real", "real[10%]+synthetic[guidance_scale=1.5,k=1,weather=night]")
    assert options.candidates[-1] == "real[10%]+0.5*synthetic[guidance_scale=3,k=20,raw]"
    assert options.baselines == ("real", "real[10%]")


@given(st.integers(2, 200), st.integers(2, 10), st.integers(1, 4), st.integers(1000, 80_000))
def test_every_rung_is_shorter_than_the_one_after_and_the_last_is_as_long_as_the_comparison(
    count: int, eta: int, last: int, iterations: int
) -> None:
    options = SearchOptions(ks=tuple(range(count)), eta=eta, last_seeds=last)
    rungs = options.rungs(iterations)
    assert rungs[0].mixes == count and rungs[-1].mixes <= eta
    assert all(before.mixes > after.mixes for before, after in itertools.pairwise(rungs))
    assert all(before.iterations < after.iterations for before, after in itertools.pairwise(rungs))
    assert rungs[-1].iterations == iterations and len(rungs[-1].seeds) == last
    seeds = [seed for rung in rungs for seed in rung.seeds]
    assert len(set(seeds)) == len(seeds), "a rung chooses by the seeds of another one"


def test_the_cost_that_is_stated_is_what_is_trained() -> None:
    options = SearchOptions(ks=KS, mixes=("real[10%]+synthetic",), last_seeds=2)
    ran: list[tuple[str, int, int]] = []
    halve(options.candidates, options.rungs(900), trainer(by_k({4: 0.02}), ran), 40)
    trainings, steps = options.cost(900)
    # The baseline of a mix that has left is not trained any more.
    assert len(ran) <= trainings <= len(ran) + 3
    assert sum(iterations for _, iterations, _ in ran) <= steps


def test_the_mix_that_gains_most_wins_and_the_weakest_leave_first() -> None:
    result = found_by(SearchOptions(ks=KS), by_k({k: 0.01 * k - 0.05 for k in KS}))
    assert result.winner == "real+synthetic[k=9]"
    assert [len(rung.entries) for rung in result.rungs] == [9, 3]
    assert result.rungs[0].kept == tuple(f"real+synthetic[k={k}]" for k in (9, 8, 7))
    assert "Of 9 mixes, real+synthetic[k=9] gained most: +4.0 points of mIoU against real" in result.sentence
    assert SearchResult.from_json(result.to_json()) == result


def test_each_mix_is_measured_against_its_own_baseline() -> None:
    options = SearchOptions(mixes=("real+synthetic", "real[10%]+synthetic"))
    gains = {"real": 0.1, "real+synthetic": 0.12, "real[10%]": 0.0, "real[10%]+synthetic": 0.05}
    assert found_by(options, gains).winner == "real[10%]+synthetic"


def test_a_winner_that_is_not_above_its_baseline_is_no_success() -> None:
    result = found_by(SearchOptions(ks=(1, 2)), by_k({1: -0.02, 2: 0.0}))
    assert result.sentence.startswith("None of 2 mixes is above its baseline; the best is real+synthetic[k=2]")


def test_of_equal_mixes_the_first_is_taken_and_the_tie_is_said() -> None:
    result = found_by(SearchOptions(ks=(7, 3)), by_k({7: 0.01, 3: 0.01}))
    assert result.winner == "real+synthetic[k=7]"
    assert "real+synthetic[k=3] scored the same" in result.sentence


def test_mixes_that_cannot_be_trained_leave_the_search_with_their_reason() -> None:
    gains = {**by_k(dict.fromkeys(KS, 0.01)), **by_k({1: "no samples", 2: "the loss is nan"})}
    result = found_by(SearchOptions(ks=KS), gains)
    first = result.rungs[0]
    assert [entry.failed for entry in first.entries[-2:]] == ["no samples", "the loss is nan"]
    assert not {"real+synthetic[k=1]", "real+synthetic[k=2]"} & set(first.kept)
    with pytest.raises(UserError, match=r"no mix can be trained, the first because of this: no samples"):
        found_by(SearchOptions(ks=(1, 2)), by_k({1: "no samples", 2: "no samples"}))
    with pytest.raises(UserError, match=r"the baseline real cannot be trained: diverged"):
        found_by(SearchOptions(ks=(1, 2)), {"real": "diverged"})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ks": (5,)}, "chooses among two mixes or more"),
        ({"mixes": ("real", "synthetic")}, "'real' is a baseline"),
        ({"mixes": ("real+synthetic[k=1,k=2]", "synthetic")}, "'k' is there twice"),
        ({"ks": (1, 2), "mixes": ("synthetic[k=1] + real",)}, "are the same"),
        ({"ks": (1, 2), "filters": ("night",)}, "'night' in the brackets of synthetic is unknown"),
    ],
)
def test_what_cannot_be_searched_is_refused(options: dict[str, tuple[object, ...]], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SearchOptions.model_validate(options)


@pytest.mark.parametrize(
    ("options", "seeds", "held_back", "said"),
    [
        (SearchOptions(ks=KS), (0, 1001), 0.2, "with the seed 1001 of downstream.seeds"),
        (SearchOptions(ks=KS), (0,), 0.0, "judge.held_back"),
        (SearchOptions(ks=KS, iterations=500), (0,), 0.2, "give at most 300"),
        (SearchOptions(mixes=("synthetic@0.1% > real", "synthetic"), iterations=9), (0,), 0.2, "no whole step"),
    ],
)
def test_a_search_that_does_not_fit_the_comparison_is_refused(
    options: SearchOptions, seeds: Sequence[int], held_back: float, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        options.check(900, seeds, held_back)
