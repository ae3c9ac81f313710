"""Alignment and diversity by k, against the same numbers computed by hand."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from augment.errors import UserError
from augment.metrics import confusion_matrix, mean_iou
from downstream.evaluation import evaluate
from downstream.judge import Judge
from downstream.mixes import Mix
from downstream.options import SegmenterTraining
from downstream.training import train
from pipeline.store import Manifest, Sample, SampleReader, Store


@pytest.fixture(scope="module")
def judge(real_store: str, tmp_path_factory: pytest.TempPathFactory) -> Judge:
    torch.set_num_threads(1)
    options = SegmenterTraining(iterations=25, batch_size=4, decoder_channels=32)
    folder = tmp_path_factory.mktemp("judge")
    train(Mix("real", 1, 0), real_store, None, options, 0, folder)
    return Judge.load(folder)


def test_numbers_are_those_of_the_definitions(judge: Judge, real_store: str, synthetic_store: str) -> None:
    table = evaluate(judge, real_store, synthetic_store, "val", batch_size=3).to_pylist()
    assert [(row["k"], row["images"], row["sources"]) for row in table] == [(1, 8, 4), (5, 8, 4)]
    real, synthetic = (SampleReader(Store.open(url)) for url in (real_store, synthetic_store))

    def miou(samples: list[Sample]) -> float:
        labels = np.stack([s.label for s in samples if s.label is not None])
        images = np.stack([s.image for s in samples if s.image is not None])
        return mean_iou(confusion_matrix(labels, judge.predict(images), 11))[0]

    on_real = miou([real.read(f"val-{seed}") for seed in range(100, 104)])
    for row in table:
        pairs = [[synthetic.read(f"val-{s}_k{row['k']:02d}_v0{v}") for v in (0, 1)] for s in range(100, 104)]
        assert row["judge_miou"] == pytest.approx(miou([sample for pair in pairs for sample in pair]))
        assert row["judge_miou_on_real"] == pytest.approx(on_real)
        assert row["alignment"] == pytest.approx(row["judge_miou"] / on_real)
        differences = [
            np.abs(np.asarray(a.image, float) - np.asarray(b.image, float)).mean() / 255
            for pair in pairs
            for a, b in combinations(pair, 2)
        ]
        assert row["diversity"] == pytest.approx(np.mean(differences))
    assert table[0]["diversity"] > table[1]["diversity"]


def test_one_variant_has_no_diversity_and_a_missing_source_is_named(
    judge: Judge, real_store: str, tmp_path: Path
) -> None:
    store = Store.create(str(tmp_path / "s"), Manifest("synthetic", "camvid", {"height": 32, "width": 48}))
    sample = SampleReader(Store.open(real_store)).read("val-100")
    metadata = {"split": "val", "source_key": "val-100", "k": 3}
    store.write_shard("val-k03-000000", [Sample("a", sample.image, sample.label, metadata=metadata)])
    (row,) = evaluate(judge, real_store, store.url, "val").to_pylist()
    assert row["diversity"] is None
    # The synthetic image is the real one.
    assert row["alignment"] == pytest.approx(1)
    lost = {**metadata, "source_key": "gone"}
    store.write_shard("val-k03-000001", [Sample("b", sample.image, sample.label, metadata=lost)])
    with pytest.raises(UserError, match="lacks 'gone'"):
        evaluate(judge, real_store, store.url, "val")


def test_without_a_fit_judge_there_is_diversity_and_no_alignment(
    judge: Judge, real_store: str, synthetic_store: str
) -> None:
    judged = evaluate(judge, real_store, synthetic_store, "val").to_pylist()
    for row, other in zip(evaluate(None, real_store, synthetic_store, "val").to_pylist(), judged, strict=True):
        assert row == {**other, "judge_miou": None, "judge_miou_on_real": None, "alignment": None}


def test_images_without_a_labelled_pixel_have_no_alignment(judge: Judge, tmp_path: Path) -> None:
    image, blank = np.zeros((32, 48, 3), np.uint8), np.full((32, 48), 255, np.uint8)
    urls = []
    for kind in ("real", "synthetic"):
        store = Store.create(str(tmp_path / kind), Manifest(kind, "camvid", {"height": 32, "width": 48}))
        metadata = {"split": "val", "source_key": "a", "k": 3}
        store.write_shard("val-k03-000000", [Sample("a", image, blank, metadata=metadata)])
        urls.append(store.url)
    (row,) = evaluate(judge, *urls, "val").to_pylist()
    assert (row["judge_miou"], row["judge_miou_on_real"], row["alignment"]) == (None, None, None)
