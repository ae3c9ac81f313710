"""Growth, gain per hour and the search on the page: right numbers, and none where something is not known."""

from __future__ import annotations

from pathlib import Path

import pytest

from downstream.comparison import ComparisonSummary, comparison_table, summarize
from downstream.page.amounts import Amount, amounts, unit_of_work, yields
from downstream.page.growth import growths
from downstream.page.worth import search_before
from downstream.results import RunResult, write_json
from downstream.search import halve
from downstream.search_options import SearchOptions
from pipeline.store import Store

MIXES = {f"real+synthetic[raw,variant={'|'.join(map(str, range(n)))}]": 100 * n for n in (1, 2, 4, 8)}


def run(mix: str, seed: int, miou: float, seconds: float = 100.0) -> RunResult:
    inputs = {"mix": {"real": 1.0, "synthetic": float(mix != "real")}, "real": "aa", "synthetic": None}
    return RunResult(mix, seed, 10, miou, 0.9, {"road": miou}, [], seconds, f"{mix}-{seed}", inputs, 40)


def compared(*, half: float, seeds: int = 3, limit: float = 0.04) -> ComparisonSummary:
    """The gain grows with the number of images; seeds differ by a little."""
    results = [run("real", seed, 0.3 + 0.01 * seed) for seed in range(seeds)]
    for mix, images in MIXES.items():
        gain = limit * images / (images + half)
        results += [run(mix, seed, 0.3 + 0.01 * seed + gain * (1 + 0.01 * seed)) for seed in range(seeds)]
    return summarize(comparison_table(results))


def test_mixes_that_differ_in_variants_alone_are_one_growth_that_ends() -> None:
    [growth] = growths(compared(half=100), MIXES)
    assert growth.sentence.startswith("real+synthetic[raw] gains +3.6 points of mIoU with 800 synthetic images")
    assert "The fit ends at +4.0 points; nine tenths of that take 8" in growth.sentence
    assert growth.chart.count("<circle") == 4 and "%" not in growth.chart


def test_a_limit_that_the_numbers_do_not_determine_is_not_stated() -> None:
    [growth] = growths(compared(half=100_000, limit=4), MIXES)
    assert "cannot be determined from at most 800 images" in growth.sentence
    assert "ends at" not in growth.sentence


def test_no_fit_of_two_numbers_of_images_or_of_two_seeds() -> None:
    assert growths(compared(half=100), dict(list(MIXES.items())[:2])) == []
    [growth] = growths(compared(half=100, seeds=2), MIXES)
    assert growth.sentence.endswith("a fit of how its gain grows takes 3 seeds.")


def test_images_of_a_mix_are_those_that_pass_its_filters_and_have_its_sources(
    real_store: str, synthetic_store: str
) -> None:
    stores = {"real": Store.open(real_store), "synthetic": Store.open(synthetic_store)}
    mixes = ["real", "real+synthetic[raw]", "synthetic[k=1,raw,variant=0]", "real[50%]+synthetic[raw]", "no mix at all"]
    found = amounts(mixes, stores)
    assert [found[mix].raw for mix in mixes[:3]] == [0, 24, 6]
    assert 0 < found[mixes[3]].raw < 24
    assert set(found) == set(mixes[:4])


def test_an_hour_of_work_is_that_of_the_images_of_the_mix_and_of_its_longer_training(
    real_store: str, synthetic_store: str
) -> None:
    stores = {"real": Store.open(real_store), "synthetic": Store.open(synthetic_store)}
    results = [run("real", seed, 0.3) for seed in range(3)]
    mix = "real+synthetic[k=1,raw]"
    results += [run(mix, seed, 0.32, 4600.0) for seed in range(3)]
    table = comparison_table(results)
    found = {mix: Amount(raw=12)}
    [one] = yields(summarize(table), found, stores, None, table.to_pylist())
    # 12 of 40 images, validation images among them.
    seconds = 12 / 40 * stores["synthetic"].totals().seconds + 4500
    assert one.seconds == pytest.approx(seconds)
    assert one.gain == pytest.approx(0.02 * 3600 / seconds)
    assert one.interval is not None
    # The time of a store is not known, or the judge's.
    assert yields(summarize(table), found, {}, None, table.to_pylist()) == []
    assert yields(summarize(table), {mix: Amount(curated=12)}, stores, None, table.to_pylist()) == []


@pytest.mark.parametrize(
    ("machines", "unit"),
    [
        (["16 CPU cores (x), NVIDIA H200"], "GPU-hour"),
        (["Ray cluster of 8 CPUs, 4 GPUs H100; started on 2 CPU cores (x), no GPU"], "GPU-hour"),
        (["Ray cluster of 8 CPUs, 0 GPUs; started on 2 CPU cores (x), NVIDIA T4"], "hour of a worker"),
        (["16 CPU cores (x), NVIDIA H200", "2 CPU cores (x), no GPU"], "hour of a worker"),
        ([], "hour of a worker"),
    ],
)
def test_hours_are_those_of_gpus_where_all_work_was_on_some(machines: list[str], unit: str) -> None:
    assert unit_of_work([{"machine": machine} for machine in machines]) == unit


def test_the_page_shows_the_search_of_the_mix_that_is_compared_and_no_other(tmp_path: Path) -> None:
    options = SearchOptions(mixes=(next(iter(MIXES)), "synthetic > real"))
    result = halve(
        options.candidates,
        options.rungs(10),
        lambda mixes, plan: {(mix, seed): 0.3 + 0.1 * ("[" in mix) for mix in mixes for seed in plan.seeds},
        40,
    )
    path = tmp_path / "search.json"
    assert search_before(path, None) is None
    write_json(path, result.to_json())
    assert search_before(path, None) == result == search_before(path, compared(half=100))
    assert search_before(path, summarize(comparison_table([run("real", 0, 0.3)]))) is None
