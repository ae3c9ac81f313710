"""The page says which classes and conditions gain and lose, and how much of the difference each makes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from downstream.comparison import comparison_table, summarize
from downstream.page.gain_chart import Gain, GainChart, mix_chart, part_chart
from downstream.page.gains import MixGains, PartGain, attributes_of, mix_gains
from downstream.page.runs import mixes_by_k
from downstream.results import RunResult
from downstream.statistics.counts import ImageCounts
from downstream.statistics.recommendation import Verdict

CLASSES = ("road", "terrain", "car")
KEYS = tuple(f"val-{number}" for number in range(24))
LABEL = np.full((24, 3), 1000)
NIGHT = np.arange(24) >= 12


def run(mix: str, seed: int) -> tuple[RunResult, ImageCounts]:
    """Synthetic data loses terrain, and cars by night; the rest varies by seed and image alone."""
    rng = np.random.default_rng(seed if mix == "real" else 50 + seed)
    right = np.full((24, 3), 600) + rng.integers(-20, 21, (24, 3))
    if mix != "real":
        right[:, 1] = 0
        right[NIGHT, 2] -= 100
    counts = ImageCounts(KEYS, CLASSES, right, LABEL, np.full((24, 3), 1000))
    of_classes = right.sum(0) / counts.union.sum(0)
    iou = dict(zip(CLASSES, of_classes.tolist(), strict=True))
    inputs = {"mix": {"real": 1.0, "synthetic": float(mix != "real")}, "real": "aa", "synthetic": None}
    fingerprint = f"{mix}-{seed}"
    return RunResult(mix, seed, 10, float(of_classes.mean()), 0.9, iou, [], 1.0, fingerprint, inputs, 24), counts


def gains(*, seeds: int, counted: bool = True) -> tuple[pa.Table, MixGains]:
    runs = {(mix, seed): run(mix, seed) for mix in ("real", "real+synthetic") for seed in range(seeds)}
    table = comparison_table([result for result, _ in runs.values()])
    counts = {name: of for name, (_, of) in runs.items()} if counted else {}
    attributes = {"time_of_day": {key: "night" if dark else "day" for key, dark in zip(KEYS, NIGHT, strict=True)}}
    [found] = mix_gains(table, summarize(table, counts=counts), counts, attributes)
    return table, found


def test_the_class_that_makes_the_difference_comes_first_and_is_named() -> None:
    table, found = gains(seeds=3)
    assert [part.name for part in found.classes] == ["terrain", "car", "road"]
    terrain = found.classes[0]
    assert terrain.interval is not None and terrain.interval[1] < -0.3
    assert (terrain.images, terrain.after) == (24, 0.0)
    of_mean = np.diff([np.mean([row["miou"] for row in table.to_pylist()[3 * n : 3 * n + 3]]) for n in range(2)])[0]
    assert sum(part.share or 0 for part in found.classes) == pytest.approx(of_mean)
    moved = f"terrain alone ({100 * terrain.before:.1f} to 0.0) moves the mIoU by {100 * terrain.share:+.1f} points"
    assert found.headline == f"{moved}; all classes together move it by {100 * of_mean:+.1f}."


def test_a_condition_is_scored_on_its_own_images() -> None:
    _, found = gains(seeds=3)
    night, day = found.conditions["time_of_day"]
    assert (night.name, night.images, day.name, day.images) == ("night", 12, "day", 12)
    assert night.difference is not None and day.difference is not None
    assert night.difference < day.difference - 0.02
    for part in (night, day):
        assert part.interval is not None and part.interval[0] < part.difference < part.interval[1]


@pytest.mark.parametrize(("seeds", "counted"), [(1, True), (3, False)])
def test_where_an_interval_is_not_known_there_is_none(seeds: int, counted: bool) -> None:
    _, found = gains(seeds=seeds, counted=counted)
    assert all(part.interval is None for part in found.classes)
    assert found.classes[0].name == "terrain"
    assert bool(found.conditions) == counted
    assert all(gain.verdict == "open" for gain in part_chart(found.classes, True).gains)


@pytest.mark.parametrize(("seeds", "images", "coloured"), [(2, 24, False), (3, 24, False), (3, 30, True)])
def test_nothing_is_coloured_as_decided_that_the_recommendation_does_not_decide(
    seeds: int, images: int, coloured: bool
) -> None:
    scores = {"real": 0.5, "real+synthetic": 0.7}
    runs = [
        replace(run(mix, seed)[0], miou=score + 0.001 * seed, images=images)
        for mix, score in scores.items()
        for seed in range(seeds)
    ]
    summary = summarize(comparison_table(runs))
    chart = mix_chart(summary)
    assert chart is not None and chart.gains[1].interval is not None
    assert chart.verdicts["real+synthetic"] == ("good" if coloured else "open")
    assert coloured == (summary.verdict is Verdict.USE)
    [found] = mix_gains(comparison_table(runs), summary, {}, {})
    assert found.decided == coloured
    terrain = [PartGain("terrain", 20, 0.6, 0.0, -0.6, (-0.7, -0.5))]
    assert part_chart(terrain, found.decided).gains[0].verdict == ("bad" if coloured else "open")


def test_attributes_are_columns_of_text_with_few_values() -> None:
    names = [f"image {number}" for number in range(20)]
    index = pa.table({"key": names, "source": names, "title": names, "k": [1] * 20, "weather": [None, *["rain"] * 19]})
    assert attributes_of(index) == {"weather": dict.fromkeys(names[1:], "rain")}


def test_zero_and_the_noise_are_in_view_and_a_small_difference_looks_small() -> None:
    chart = GainChart.of([Gain("a", 0.05, (0.01, 0.09))], noise=0.4)
    assert chart.low < -1 < 0 < 1 < chart.high and 0 in chart.ticks
    assert chart.span((0, 0.05))[1] < 3
    far = GainChart.of([Gain("a", -38.0)])
    assert 0 < far.at(0) < 100 and 0 in far.ticks
    assert far.at(-38.0) > 0


def test_the_baseline_shows_its_seeds_around_their_mean() -> None:
    table, _ = gains(seeds=3)
    chart = mix_chart(summarize(table))
    assert chart is not None and chart.noise is not None and chart.noise > 0
    baseline, other = chart.gains
    assert (baseline.note, baseline.value) == ("baseline", 0.0) and abs(sum(baseline.seeds)) < 1e-9
    assert np.mean(other.seeds) == pytest.approx(other.value)


def test_mixes_of_one_k_are_found_by_their_names() -> None:
    mixes = ["real", "real+synthetic", "real+synthetic[k=5]", "synthetic[k=5]", "real+synthetic[k=20]"]
    assert mixes_by_k(mixes) == {5: "real+synthetic[k=5]", 20: "real+synthetic[k=20]"}
    assert mixes_by_k(["real"]) == {}
