"""The table of runs and what is concluded from it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from augment.errors import UserError
from downstream.comparison import (
    ComparisonSummary,
    comparison_table,
    summarize,
    summary_of,
    with_summary,
    write_table,
)
from downstream.results import RunResult
from downstream.statistics.counts import ImageCounts
from downstream.statistics.question import Question

WEIGHTS = {"real": (1.0, 0.0), "synthetic": (0.0, 1.0), "real+synthetic": (1.0, 1.0)}


def run(mix: str, seed: int, miou: float, iterations: int = 10, images: int | None = 30) -> RunResult:
    real, synthetic = WEIGHTS[mix]
    inputs = {
        "mix": {"real": real, "synthetic": synthetic, "where": {}},
        "real": "aa",
        "synthetic": "bb" if synthetic else None,
    }
    iou = {"road": miou, "sky": None}
    return RunResult(mix, seed, iterations, miou, 0.9, iou, [(10, 0.5)], 1.5, f"{mix}{seed}", inputs, images)


def runs(**scores: list[float]) -> list[RunResult]:
    return [run(mix, seed, miou) for mix, values in scores.items() for seed, miou in enumerate(values)]


def test_table_has_a_row_for_each_mix_and_seed_and_survives_parquet(tmp_path: Path) -> None:
    results = runs(real=[0.5, 0.6], **{"real+synthetic": [0.7, 0.8]})
    write_table(comparison_table(results[::-1]), tmp_path / "comparison.parquet")
    rows = pq.read_table(tmp_path / "comparison.parquet").to_pylist()
    assert [(row["mix"], row["seed"], row["miou"]) for row in rows] == [
        ("real+synthetic", 0, 0.7),
        ("real+synthetic", 1, 0.8),
        ("real", 0, 0.5),
        ("real", 1, 0.6),
    ]
    assert rows[0]["iou/road"] == 0.7
    assert rows[0]["iou/sky"] is None
    assert [row["synthetic"] for row in rows] == ["bb", "bb", None, None]


def test_runs_that_differ_in_more_than_the_mix_are_not_compared() -> None:
    with pytest.raises(UserError, match="different iterations"):
        comparison_table([run("real", 0, 0.5), run("synthetic", 0, 0.5, iterations=20)])
    with pytest.raises(UserError, match="nothing to compare"):
        comparison_table([])


def test_differences_are_paired_by_seed() -> None:
    """Seeds vary far more than the mixes differ: only pairing shows that each seed gained."""
    results = runs(real=[0.2, 0.5, 0.8], **{"real+synthetic": [0.24, 0.55, 0.84]})
    summary = summarize(comparison_table(results))
    real, mixed = summary.mixes
    assert (real.mix, real.difference, real.interval) == ("real", None, None)
    assert real.spread == pytest.approx(0.3)
    assert mixed.difference == pytest.approx(0.13 / 3)
    assert mixed.interval is not None
    assert mixed.interval[0] > 0
    assert summary.recommendation.startswith("Train on real+synthetic: +4.3 points of mIoU against real (95%")
    assert summary.verdict == "use"


def test_it_says_when_synthetic_data_does_not_help() -> None:
    scores = {"real": [0.5, 0.6, 0.55], "synthetic": [0.11, 0.19, 0.15], "real+synthetic": [0.501, 0.602, 0.551]}
    summary = summarize(comparison_table(runs(**scores)))
    assert summary.verdict == "no help"
    assert summary.recommendation.startswith(
        "The synthetic data does not help: no mix with it gains 1.0 points of mIoU over real. "
        "At best, real+synthetic scores +0.1 points of mIoU against real (95% interval for 2 mixes together"
    )
    # A gain as small as that may still be asked for.
    smaller = summarize(comparison_table(runs(**scores)), Question(smallest_gain=0.001))
    assert smaller.verdict == "open"


@pytest.mark.parametrize(
    ("synthetic", "verdict", "answer"),
    [
        ([0.501, 0.602, 0.551], "no help", "The synthetic data does not help: no mix with it gains 1.0 points"),
        ([0.515, 0.615, 0.575], "open", "Whether the synthetic data helps is not known yet: about"),
        ([0.521, 0.620, 0.571], "use", "The synthetic data helps less: real+synthetic scores +2.1 points"),
    ],
)
def test_a_better_mix_without_synthetic_data_is_named_and_does_not_answer_for_it(
    synthetic: list[float], verdict: str, answer: str
) -> None:
    results = runs(real=[0.5, 0.6, 0.55], **{"real+synthetic": synthetic})
    better = (0.6, 0.701, 0.651)
    results += [replace(run("real", seed, miou), mix="real[augmented]") for seed, miou in enumerate(better)]
    summary = summarize(comparison_table(results))
    assert summary.verdict == verdict
    leads, _, rest = summary.recommendation.partition("). ")
    assert leads.startswith("Train on real[augmented]: +") and rest.startswith(answer)


def test_it_says_how_many_more_seeds_are_needed() -> None:
    scores = {"real": [0.50, 0.52, 0.51], "synthetic": [0.515, 0.515, 0.53]}
    summary = summarize(comparison_table(runs(**scores)))
    [_, mix] = summary.mixes
    assert mix.seeds_needed is not None and mix.seeds_needed > 3
    assert summary.recommendation.startswith(
        f"No recommendation yet: about {mix.seeds_needed - 3} more seeds are needed to see a gain of 1.0 points of "
        "synthetic. So far synthetic scores +1.0 points"
    )
    assert summary.noise.startswith("real varies by 1.0 points of mIoU (standard deviation between 3 seeds)")


def test_many_mixes_widen_the_intervals() -> None:
    """The best of several is not judged as if it were the only one."""
    gains = [0.03, 0.04, 0.05]
    one = [run("real", seed, 0.5) for seed in range(3)]
    one += [replace(run("synthetic", seed, 0.5 + gain), mix="0") for seed, gain in enumerate(gains)]
    many = one + [replace(result, mix=str(number)) for number in range(1, 8) for result in one[3:]]
    [_, alone], [_, among, *_] = (summarize(comparison_table(of)).mixes for of in (one, many))
    low, high = stats.ttest_1samp(gains, 0).confidence_interval(0.95)
    assert alone.interval == pytest.approx((low, high))
    low, high = stats.ttest_1samp(gains, 0).confidence_interval(1 - 0.05 / 8)
    assert among.interval == pytest.approx((low, high))
    assert [summarize(comparison_table(of)).verdict for of in (one, many)] == ["use", "open"]


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_seeds_give_no_recommendation(count: int) -> None:
    summary = summarize(comparison_table(runs(real=[0.5, 0.51][:count], synthetic=[0.6, 0.611][:count])))
    assert all((mix.spread is None) == (count == 1) for mix in summary.mixes)
    assert (summary.mixes[1].interval is None) == (count == 1)
    assert summary.verdict == "open"
    assert summary.recommendation.startswith(
        "No recommendation: it takes at least 3 seeds (downstream.seeds=[0,1,2]). So far synthetic scores +10."
    )
    if count == 1:
        assert "(one seed: no interval, on 30 images), which may be chance." in summary.recommendation


def test_few_images_give_no_recommendation_however_many_seeds() -> None:
    scores = {"real": [0.5, 0.5, 0.5], "synthetic": [0.6, 0.61, 0.62]}
    for images, begins in ((29, "No recommendation: it takes at least 30 held-out images. So far"), (30, "Train on")):
        results = [run(mix, seed, miou, images=images) for mix, of in scores.items() for seed, miou in enumerate(of)]
        summary = summarize(comparison_table(results))
        assert summary.recommendation.startswith(begins)
        assert f"over 3 seeds, on {images} images" in summary.recommendation
        assert summary.images == images


def test_only_seeds_that_both_mixes_have_count() -> None:
    results = [run("real", 0, 0.5), run("synthetic", 0, 0.6), run("synthetic", 1, 0.7), run("synthetic", 2, 0.8)]
    summary = summarize(comparison_table(results))
    assert [(mix.seeds, mix.pairs, mix.interval) for mix in summary.mixes] == [(1, 0, None), (3, 1, None)]
    assert summary.recommendation.startswith("No recommendation: it takes at least 3 seeds")


def counted_runs(
    found: dict[str, list[float]], images: int
) -> tuple[list[RunResult], dict[tuple[str, int], ImageCounts]]:
    """Runs that find a share of one class in every image, which varies between images; a second one is rare."""
    results, counts = [], {}
    for mix, shares in found.items():
        for seed, share in enumerate(shares):
            rng = np.random.default_rng([len(mix), images])
            label = np.full((images, 2), 1000)
            label[5:, 1] = 0
            intersection = np.rint(label * (share + rng.uniform(-0.1, 0.1, (images, 1)))).astype(np.int64)
            keys = tuple(map(str, range(images)))
            kept = ImageCounts(keys, ("road", "pole"), intersection, label, intersection)
            counts[mix, seed] = kept
            results.append(run(mix, seed, float((intersection.sum(0) / label.sum(0)).mean()), images=images))
    return results, counts


def test_images_count_where_they_are_known() -> None:
    results, counts = counted_runs({"real": [0.50, 0.52, 0.51], "synthetic": [0.531, 0.552, 0.54]}, 40)
    table = comparison_table(results)
    with_images, without = summarize(table, counts=counts), summarize(table)
    (_, known), (_, alone) = with_images.mixes, without.mixes
    assert known.difference == pytest.approx(alone.difference)
    assert known.interval is not None and alone.interval is not None
    assert np.ptp(known.interval) > 3 * np.ptp(alone.interval)
    assert "which count as given" in without.recommendation
    assert "which count as given" not in with_images.recommendation
    assert "over 3 seeds, on 40 images, of which fewer than 10 have pole)" in with_images.recommendation
    road, pole = known.classes
    assert (road.name, road.images, pole.images) == ("road", 40, 5)
    assert road.interval is not None
    assert pole.interval is None, "five images are too few for an interval"


def test_it_says_when_images_and_not_seeds_are_missing() -> None:
    results, counts = counted_runs({"real": [0.50, 0.52, 0.51], "synthetic": [0.501, 0.522, 0.511]}, 40)
    summary = summarize(comparison_table(results), counts=counts)
    assert re.match(
        r"No recommendation: no number of seeds shows a gain of 1.0 points of synthetic on 40 images; it takes about "
        r"\d{3,} images\.",
        summary.recommendation,
    )


def test_runs_on_other_images_are_not_compared() -> None:
    results, counts = counted_runs({"real": [0.5, 0.5], "synthetic": [0.6, 0.6]}, 40)
    counts["synthetic", 1] = replace(counts["synthetic", 1], keys=("other", *counts["synthetic", 1].keys[1:]))
    with pytest.raises(UserError, match="synthetic, seed 1 was evaluated on other images"):
        summarize(comparison_table(results), counts=counts)


def test_the_table_keeps_its_summary(tmp_path: Path) -> None:
    results, counts = counted_runs({"real": [0.5, 0.52], "synthetic": [0.6, 0.61]}, 40)
    table = comparison_table(results)
    summary = summarize(table, counts=counts)
    write_table(with_summary(table, summary), tmp_path / "table.parquet")
    assert summary_of(pq.read_table(tmp_path / "table.parquet")) == summary
    assert ComparisonSummary.from_json(json.loads(json.dumps(summary.to_json()))) == summary
    assert summary_of(table) == summarize(table) != summary


def test_a_mix_may_have_a_baseline_of_its_own() -> None:
    """With fewer labels everything scores less, which says nothing about the synthetic data."""
    scores = {"real": [0.50, 0.52, 0.51], "few": [0.30, 0.32, 0.31], "few+synthetic": [0.35, 0.372, 0.361]}
    results = [
        replace(run("real", seed, miou), mix=mix, inputs=run("synthetic" if "+" in mix else "real", 0, 0).inputs)
        for mix, of in scores.items()
        for seed, miou in enumerate(of)
    ]
    summary = summarize(comparison_table(results), baselines={"few+synthetic": "few", "few": "few"})
    assert [mix.baseline for mix in summary.mixes] == [None, None, "few"]
    assert summary.recommendation.startswith("Train on few+synthetic: +5.1 points of mIoU against few (95% interval +")
    assert "against real" in summarize(comparison_table(results)).recommendation
    missing = summarize(comparison_table(results), baselines={"few+synthetic": "nothing here", "few": "few"})
    assert [mix.baseline for mix in missing.mixes] == [None, None, None]
    assert "Too few mixes to compare" in missing.recommendation


def test_the_baseline_is_real_alone() -> None:
    results = [replace(result, mix=mix) for mix in ("strong", "real") for result in runs(real=[0.5, 0.6])]
    assert summarize(comparison_table(results)).baseline == "real"
    assert summarize(comparison_table(results[:2])).baseline == "strong"


def test_tables_and_results_of_before_images_were_counted_are_still_read() -> None:
    summary = summarize(comparison_table([run("real", 0, 0.5, images=None), run("synthetic", 0, 0.6, images=None)]))
    assert summary.images is None
    assert "images" not in summary.recommendation
    assert summarize(comparison_table(runs(real=[0.5])).drop_columns(["images"])).images is None


@pytest.mark.parametrize("only", ["real", "synthetic"])
def test_one_mix_alone_is_no_comparison(only: str) -> None:
    assert "Too few mixes to compare" in summarize(comparison_table(runs(**{only: [0.5, 0.6]}))).recommendation
