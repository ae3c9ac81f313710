"""Alignment, diversity and the other measures by k, against the same numbers computed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from augment.errors import UserError
from augment.metrics import confusion_matrix, mean_iou
from downstream.evaluation import Measuring, Restore, evaluate
from downstream.judge import Judge
from downstream.measured_images import Encoders, shuffled, with_noise
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


def colours(images: list[NDArray[np.uint8]]) -> list[torch.Tensor]:
    """Features of patches that are quick to compute: their mean colours."""
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
    return list(torch.nn.functional.avg_pool2d(pixels, 8))


def measured(
    real: str, synthetic: str, restore: Restore | None = None, train_images: int = 1000
) -> tuple[list[dict], Measuring]:
    measuring = Measuring(Encoders(colours), 500, "train", train_images, restore)
    return evaluate(None, real, synthetic, "val", measuring=measuring).to_pylist(), measuring


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """60 held-out sources; at k = 1 copies of training images are painted, at k = 2 new images like the real ones."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("planted")

    def image() -> NDArray[np.uint8]:
        return (rng.integers(30, 220, 3) + rng.integers(-20, 20, (16, 24, 3))).astype(np.uint8)

    label, shape = np.zeros((16, 24), np.uint8), {"height": 16, "width": 24}
    real, synthetic = (
        Store.create(str(folder / kind), Manifest(kind, "camvid", shape)) for kind in ("real", "synthetic")
    )
    training = [image() for _ in range(60)]
    for split, images in (("train", training), ("val", [image() for _ in range(60)])):
        samples = [Sample(f"{split}-{i:02d}", one, label, metadata={"split": split}) for i, one in enumerate(images)]
        real.write_shard(f"{split}-000000", samples)
    for k in (1, 2):
        samples = [
            Sample(
                f"val-{source:02d}_k{k}_v{variant}",
                training[(source + variant) % 60] if k == 1 else image(),
                label,
                metadata={"split": "val", "source_key": f"val-{source:02d}", "k": k, "variant": variant},
            )
            for source in range(60)
            for variant in range(2)
        ]
        synthetic.write_shard(f"val-k0{k}-000000", samples)
    return real.url, synthetic.url


def test_copies_of_training_images_are_found_and_new_images_are_at_the_floor(planted: tuple[str, str]) -> None:
    (copies, new), measuring = measured(*planted)
    assert copies["near_training"] == copies["nearer_to_training"] == 1
    assert new["near_training"] < 0.2 and 0.4 < new["nearer_to_training"] < 0.6
    pair = measuring.closest[0]
    assert pair["distance"] == 0 and pair["k"] == 1
    place = (int(pair["source"].removeprefix("val-")) + int(pair["key"][-1])) % 60
    assert pair["nearest"] == f"train-{place:02d}"
    for name in ("frechet", "kernel", "precision", "recall", "density", "coverage"):
        spread = 3 * (new[f"{name}_spread"] + new[f"{name}_floor_spread"])
        assert abs(new[name] - new[f"{name}_floor"]) < spread, name
    assert new["half"] == 30 and new["measured_sources"] == 60
    assert 1 <= new["vendi_on_real"] <= 3
    assert new["not_measured"] == [
        "depth: evaluate.depth_model is null",
        "cmmd: evaluate.clip_model is null",
        "the share of copies that would be flagged: no autoencoder of the base",
    ]


def test_the_table_says_which_share_of_copies_the_test_would_flag(planted: tuple[str, str]) -> None:
    asked = []

    def same(images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        asked.append(len(images))
        return list(images)

    def half(images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        return [image if place % 2 else 255 - image // 8 for place, image in enumerate(images)]

    def none(_: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        raise UserError("base model 'gone' cannot be loaded")

    for restore, share in ((same, 1.0), (half, 0.5), (none, None)):
        rows, _ = measured(*planted, restore)
        assert [row["near_training_of_restored"] for row in rows] == [share] * 2
        reason = "the share of copies that would be flagged: base model 'gone' cannot be loaded"
        assert all((reason in row["not_measured"]) == (share is None) for row in rows)
        assert rows[0]["near_distance"] == rows[1]["near_distance"] > 0
    assert asked == [24]


def test_images_painted_like_their_source_name_it_as_the_nearest(planted: tuple[str, str], tmp_path: Path) -> None:
    real = SampleReader(Store.open(planted[0]))
    store = Store.create(str(tmp_path / "s"), Manifest("synthetic", "camvid", {"height": 16, "width": 24}))
    sources = [real.read(f"val-{number:02d}") for number in range(60)]
    samples = [
        Sample(f"{one.key}_a", one.image, one.label, metadata={"split": "val", "source_key": one.key, "k": 3})
        for one in sources
    ]
    store.write_shard("val-k03-000000", samples)
    ((row,), _) = measured(planted[0], store.url)
    assert row["own_source_nearest"] == 1
    # They are the photographs, which are as far from those of other sources as the floor says.
    assert row["kernel"] == row["kernel_floor"] and row["coverage"] == row["coverage_floor"]
    assert row["vendi"] == row["vendi_on_real"]
    assert row["patch_diversity"] is None
    ((none,), _) = measured(planted[0], store.url, train_images=0)
    assert none["near_training"] is None and "copies: evaluate.train_images is 0" in none["not_measured"]


def test_too_few_sources_give_no_number_but_the_reason(real_store: str, synthetic_store: str) -> None:
    rows, measuring = measured(real_store, synthetic_store)
    synthetic = SampleReader(Store.open(synthetic_store))
    for row in rows:
        assert row["kernel"] is row["precision"] is row["vendi"] is row["near_training"] is None
        assert "distances, coverage, vendi and copies: 4 sources, 50 are needed" in row["not_measured"]
        expected = []
        for source in range(100, 104):
            one, other = (synthetic.read(f"val-{source}_k{row['k']:02d}_v0{v}").image for v in (0, 1))
            first, second = colours([one, other])
            expected.append(1 - torch.cosine_similarity(first, second, dim=0).mean().item())
        assert row["patch_diversity"] == pytest.approx(np.mean(expected), abs=1e-6)
        assert 0 < row["patch_diversity_of_noise"] < row["patch_diversity_of_photos"]
        assert row["edges"] > row["edges_of_others"]
    # Pairs are to be looked at, whatever their number.
    assert [(pair["k"], len(pair["nearest"]) > 0) for pair in measuring.closest] == [(1, True)] * 4 + [(5, True)] * 4


def test_only_sources_with_images_at_every_k_are_measured(real_store: str, tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "s"), Manifest("synthetic", "camvid", {"height": 32, "width": 48}))
    image = SampleReader(Store.open(real_store)).read("val-100")
    for k, sources in ((1, ("val-100", "val-101")), (2, ("val-101",))):
        metadata = [{"split": "val", "source_key": source, "k": k} for source in sources]
        samples = [Sample(f"{one['source_key']}_{k}", image.image, image.label, metadata=one) for one in metadata]
        store.write_shard(f"val-k0{k}-000000", samples)
    assert [row["measured_sources"] for row in measured(real_store, store.url)[0]] == [1, 1]


def test_a_second_judge_scores_as_the_first(judge: Judge, real_store: str, synthetic_store: str) -> None:
    for row in evaluate(judge, real_store, synthetic_store, "val", second=judge).to_pylist():
        for name in ("judge_miou", "judge_miou_on_real"):
            assert row[f"second_{name}"] == row[name] is not None
        assert row["second_alignment"] == row["alignment"]
    assert evaluate(judge, real_store, synthetic_store, "val").to_pylist()[0]["second_alignment"] is None


def test_sources_and_noise_depend_on_their_keys_alone() -> None:
    keys = [f"frame-{number}" for number in range(40)]
    assert shuffled(keys, 10) == shuffled(keys[::-1], 10)
    assert shuffled(keys, 40) != keys
    image = np.full((8, 8, 3), 128, np.uint8)
    one, other = with_noise("a", image)
    np.testing.assert_array_equal(one, with_noise("a", image)[0])
    assert not np.array_equal(one, other)


def test_depth_and_clip_are_measured_where_there_are_models(planted: tuple[str, str]) -> None:
    def grey(images: list[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        return [image.mean(axis=2, dtype=np.float32) for image in images]

    def mean_colour(images: list[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        return [image.mean(axis=(0, 1), dtype=np.float32) for image in images]

    measuring = Measuring(Encoders(colours, grey, mean_colour), 500, "train", 0)
    for row in evaluate(None, *planted, "val", measuring=measuring).to_pylist():
        # New images have nothing of their source.
        assert row["depth"] == pytest.approx(row["depth_of_others"], rel=0.1) and 0 < row["depth"] < 2
        assert abs(row["cmmd"] - row["cmmd_floor"]) < 3 * (row["cmmd_spread"] + row["cmmd_floor_spread"])
        assert row["not_measured"] == ["copies: evaluate.train_images is 0"]
