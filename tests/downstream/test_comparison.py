"""The table of runs and what is concluded from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from augment.errors import UserError
from downstream.comparison import comparison_table, paired_interval, summarize, write_table
from downstream.results import RunResult

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


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.floats(0.5, 0.99))
def test_interval_is_that_of_a_paired_t_test(differences: list[float], confidence: float) -> None:
    interval = paired_interval(differences, confidence)
    assert interval is not None
    if np.std(differences) > 1e-6:
        expected = stats.ttest_1samp(differences, 0).confidence_interval(confidence)
        np.testing.assert_allclose(interval, (expected.low, expected.high), rtol=1e-6, atol=1e-9)
    assert interval[0] <= np.mean(differences) + 1e-12
    assert paired_interval(differences[:1]) is None


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


def test_it_says_when_synthetic_data_did_not_help() -> None:
    summary = summarize(
        comparison_table(runs(real=[0.5, 0.6], synthetic=[0.1, 0.1], **{"real+synthetic": [0.52, 0.59]}))
    )
    assert summary.recommendation.startswith("The synthetic data did not help")
    assert "At best, real+synthetic scores +0.5 points" in summary.recommendation


def test_one_seed_gives_no_interval_and_no_recommendation() -> None:
    summary = summarize(comparison_table(runs(real=[0.5], synthetic=[0.6])))
    assert all(mix.interval is None and mix.spread is None for mix in summary.mixes)
    assert summary.recommendation == (
        "No recommendation: it takes at least 2 seeds (downstream.seeds=[0,1]). So far synthetic scores +10.0 points "
        "of mIoU against real (one seed: no interval, on 30 images), which may be chance."
    )


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
    assert summary.recommendation.startswith("No recommendation: it takes at least 2 seeds")


def test_tables_and_results_of_before_images_were_counted_are_still_read() -> None:
    summary = summarize(comparison_table([run("real", 0, 0.5, images=None), run("synthetic", 0, 0.6, images=None)]))
    assert summary.images is None
    assert "images" not in summary.recommendation
    assert summarize(comparison_table(runs(real=[0.5])).drop_columns(["images"])).images is None


@pytest.mark.parametrize("only", ["real", "synthetic"])
def test_one_mix_alone_is_no_comparison(only: str) -> None:
    assert "Too few mixes to compare" in summarize(comparison_table(runs(**{only: [0.5, 0.6]}))).recommendation
