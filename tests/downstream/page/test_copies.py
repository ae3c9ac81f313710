"""The closest pair of each k is shown beside its source, and the page says what the test for copies can find."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from downstream.comparison import write_table
from downstream.evaluation import SCHEMA
from downstream.page.copies import copies
from downstream.report import build_report
from pipeline.store import SampleReader, Store
from tests.downstream.page.test_pictures import pixels

PAIRS = [
    {"key": f"val-10{source}_k{k:02d}_v00", "k": k, "source": f"val-10{source}", "nearest": "train-3"}
    | {"distance": 2.0 + source, "to_own_source": 9.0}
    for k in (5, 1)
    for source in (1, 0)
]


def row(k: int, near: float | None = 0.0, sources: int = 100, **more: Any) -> dict[str, Any]:
    return {"k": k, "measured_sources": sources, "near_training": near, "not_measured": [], **more}


def test_the_closest_pair_of_each_k_is_shown_beside_its_source(real_store: str, synthetic_store: str) -> None:
    real, synthetic = Store.open(real_store), Store.open(synthetic_store)
    found = copies(PAIRS, [row(1, near_distance=2.5), row(5, near_distance=2.5)], real, synthetic)
    assert found is not None
    assert [(pair.k, pair.distance, pair.is_near) for pair in found.pairs] == [(1, 2.0, True), (5, 2.0, True)]
    for pair in found.pairs:
        shown = {
            (synthetic, f"val-100_k{pair.k:02d}_v00"): pair.painted,
            (real, "val-100"): pair.source,
            (real, "train-3"): pair.nearest,
        }
        for (store, key), picture in shown.items():
            image = SampleReader(store).read(key).image
            assert image is not None and np.abs(pixels(picture).astype(int) - image).mean() < 12
    # Pairs of a store that has changed since, and tables of earlier versions.
    gone = [{**pair, "key": "gone"} for pair in PAIRS]
    old = copies(gone, [row(1)], real, synthetic)
    assert old is not None and old.pairs == ()
    assert copies([], [{"k": 1}], real, synthetic) is copies(PAIRS, [row(1)], real, None) is None


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [row(1), row(5, near=0.2)],
            ["0 % at k = 1, 20 % at k = 5; 5 % is expected", "more than chance at k = 5: look for copies"],
        ),
        ([row(1, near=0.06)], ["no more than without copies", "is not known: not measured"]),
        (
            [row(1, near_training_of_restored=0.9)],
            ["would flag 90 % of copies", "up to about 5 % of the images of a k"],
        ),
        ([row(1, near_training_of_restored=0.05)], ["would flag 5 % of copies", "it says little: look at the pairs"]),
        ([row(1, near_training_of_restored=0.0)], ["would flag 0 % of copies", "it says little"]),
        (
            [row(1, near=None, not_measured=["distances, coverage, vendi and copies: 8 sources, 50 are needed"])],
            ["Whether images are copies was not tested: 8 sources, 50 are needed."],
        ),
    ],
)
def test_the_page_says_what_the_test_for_copies_can_find(
    rows: list[dict[str, Any]], expected: list[str], real_store: str, synthetic_store: str
) -> None:
    found = copies([], rows, Store.open(real_store), Store.open(synthetic_store))
    assert found is not None
    for part in expected:
        assert part in " ".join(found.sentences).replace("\N{NO-BREAK SPACE}", " ")


def test_the_page_has_the_pairs(workspace: Path) -> None:
    measured = {"alignment": 0.5, "diversity": 0.1, "measured_sources": 4, "not_measured": list[str]()}
    rows = [{"k": k, **measured} for k in (1, 5)]
    write_table(SCHEMA.empty_table().from_pylist(rows, SCHEMA), workspace / "evaluation.parquet")
    (workspace / "evaluation.json").write_text(json.dumps({"facts": {"closest": PAIRS}}))
    page = build_report(workspace).read_text()
    assert page.count("nearest training image: train-3") == 2 * 2
    assert "Distance 2 to the training image, 9 to its own source" in page
