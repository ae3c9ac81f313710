"""Labels of one set in the classes of another: a run of the first can be judged together with the second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from augment.errors import UserError
from downstream.dataset import Part, StoreDataset
from pipeline.config import Config
from pipeline.config.compose import load_config
from pipeline.datasets import open_dataset
from pipeline.stages import dataset_source
from pipeline.stages.job import Job
from pipeline.stages.shard import ShardStep
from pipeline.stages.tools import Tools
from pipeline.store import FingerprintMismatch, SampleReader, Store, taxonomy_of, verify_store
from pipeline.taxonomies import CAMVID, CITYSCAPES, TAXONOMIES, translate
from tests.pipeline.datasets.trees import random_image, write_camvid_image, write_cityscapes_image


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    """Two images of each split, at the working size."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for number in range(2):
            label = rng.integers(0, 12, (32, 48), dtype=np.uint8)
            write_camvid_image(tmp_path / "camvid", split, f"{number:04d}", random_image(rng, 32, 48), label)
    return tmp_path / "camvid"


@pytest.fixture
def cityscapes(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    for split in ("train", "val"):
        ids = rng.integers(0, 34, (32, 48), dtype=np.uint8)
        write_cityscapes_image(tmp_path / "streets", split, "bonn_000000_000019", random_image(rng, 32, 48), ids)
    return tmp_path / "streets"


def shard_step(kind: str, root: Path, workspace: Path, *overrides: str) -> ShardStep:
    settings = ["geometry={height: 32, width: 48}", "cluster.executor=serial", f"workspace={workspace}"]
    config: Config = load_config(kind, [*settings, f"dataset.root={root}", *overrides])
    return Job(config).step(ShardStep)


def sharded(made: ShardStep) -> Store:
    made.run(Tools(made.config, lambda _: None))
    return made.store


def test_two_sets_in_one_set_of_classes_make_one_dataset(camvid: Path, cityscapes: Path, tmp_path: Path) -> None:
    own = sharded(shard_step("cityscapes", cityscapes, tmp_path / "a"))
    brought = sharded(shard_step("camvid", camvid, tmp_path / "b", "dataset.taxonomy=cityscapes"))
    assert taxonomy_of(brought.manifest) == taxonomy_of(own.manifest) == CITYSCAPES
    assert verify_store(brought.url) == []

    transforms = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}, {"type": "PackSegInputs"}]
    both = StoreDataset([Part(own.url, "train"), Part(brought.url, "train")], transforms)
    assert both.metainfo["classes"] == CITYSCAPES.classes
    assert len(both) == 1 + 2

    dataset = open_dataset("camvid", camvid)
    reader = SampleReader(brought)
    for record in dataset.records("train"):
        label = dataset.load(record).label
        assert label is not None
        np.testing.assert_array_equal(reader.read(record.key).label, translate(label, CAMVID, CITYSCAPES))


def test_without_a_request_a_store_stays_the_one_it_was(camvid: Path, tmp_path: Path) -> None:
    plain = shard_step("camvid", camvid, tmp_path / "a").plan().manifest
    named = shard_step("camvid", camvid, tmp_path / "a", "dataset.taxonomy=camvid").plan().manifest
    assert named.fingerprint == plain.fingerprint
    assert (plain.taxonomy, set(plain.inputs)) == ("camvid", {"dataset", "listing", "samples_per_shard", "geometry"})


def test_other_classes_make_another_store_and_that_is_reported(camvid: Path, tmp_path: Path) -> None:
    sharded(shard_step("camvid", camvid, tmp_path / "a"))
    with pytest.raises(FingerprintMismatch, match=r"taxonomy: stored \"camvid\", requested \"cityscapes\""):
        sharded(shard_step("camvid", camvid, tmp_path / "a", "dataset.taxonomy=cityscapes"))


def test_a_changed_table_makes_another_store(camvid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = shard_step("camvid", camvid, tmp_path / "a", "dataset.taxonomy=cityscapes")
    before = made.plan().manifest
    monkeypatch.setattr("pipeline.stages.dataset_source.mapping_table", lambda *_: np.zeros(256, np.uint8))
    assert made.plan().manifest.fingerprint != before.fingerprint


def test_classes_that_cannot_be_had_are_refused_before_anything_is_written(camvid: Path, tmp_path: Path) -> None:
    made = shard_step("camvid", camvid, tmp_path / "a", "dataset.taxonomy=ade20k")
    said = r"dataset\.taxonomy=ade20k: camvid labels have no counterpart in ade20k: they can stay .* become cityscapes"
    with pytest.raises(UserError, match=said):
        made.check_settings()
    assert not (tmp_path / "a").exists()


def test_labels_that_are_not_there_cannot_be_translated() -> None:
    with pytest.raises(UserError, match=r"dataset\.taxonomy=cityscapes: the dataset has no labels to translate"):
        dataset_source.translation(None, CITYSCAPES)
    assert dataset_source.translation(None, None) == {}


@pytest.mark.parametrize("name", sorted(set(TAXONOMIES) - {"cityscapes"}))
def test_rendered_scenes_are_known_to_be_cityscapes_before_they_are_sampled(tmp_path: Path, name: str) -> None:
    config = load_config("quickstart", [f"workspace={tmp_path / 'a'}", f"dataset.taxonomy={name}"])
    with pytest.raises(UserError, match="cityscapes labels have no counterpart"):
        Job(config).step(ShardStep).check_settings()
