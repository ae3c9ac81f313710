"""What the geometry asked for makes of a run's plan, its fingerprint and its first store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.config.compose import load_config
from pipeline.datasets import Tiles
from pipeline.engine import ErrorBudget, make_executor, run_store_stage
from pipeline.stages.job import Job
from pipeline.stages.shard import ShardStep
from pipeline.store import Sample, Store, verify_store
from tests.pipeline.datasets.trees import random_image, write_camvid_image

TILES = "geometry={mode: tiles, tiles: {rows: 2, columns: 2, overlap: 0.25}}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 2)):
        for number in range(count):
            label = rng.integers(0, 12, (64, 96), dtype=np.uint8)
            write_camvid_image(tmp_path / "data", split, f"{number:03d}", random_image(rng, 64, 96), label, ".jpg")
    return tmp_path / "data"


def shard_step(root: Path, *overrides: str) -> ShardStep:
    base = ("geometry.height=32", "geometry.width=48", "shard.samples_per_shard=9", "~dataset.limit")
    named = (f"dataset.root={root}", f"workspace={root.parent / 'work'}", "cluster.executor=serial")
    config = load_config("camvid", [*base, *named, *overrides])
    return Job(config).step(ShardStep)


def test_a_run_in_tiles_counts_plans_and_writes_tiles(root: Path) -> None:
    run = shard_step(root, TILES)
    assert run.job.images.geometry.tiles == Tiles(rows=2, columns=2, overlap=0.25)
    assert run.job.images.counts() == {"train": 20, "val": 8}
    plan = run.plan()
    units = list(plan.units())
    assert run.size().units == len(units) == len(plan.shards) == 4
    assert run.size().samples == sum(len(unit.keys) for unit in units) == 28
    stage, source = run.work()
    store = Store.create(str(root.parent / "store"), plan.manifest)
    executor = make_executor("serial")
    summary = run_store_stage(stage, source, store, units, executor, ErrorBudget(), lambda _: None)
    assert (summary.samples, summary.failures) == (28, 0)
    assert verify_store(store.url) == []


def test_only_what_changes_samples_is_part_of_the_fingerprint(root: Path) -> None:
    plain = shard_step(root).plan().manifest
    full = shard_step(root, "geometry.reduced_jpeg=false").plan().manifest
    assert plain.inputs["geometry"] == {"reduced_jpeg": True}
    # As it was before there were other modes, so that stores of that time go on.
    assert set(full.inputs) == {"dataset", "listing", "samples_per_shard"}
    assert shard_step(root, "geometry.mode=resize").plan().manifest == plain
    by_area = shard_step(root, "geometry.resample=area").plan().manifest
    assert shard_step(root, "geometry.resample=area", "geometry.reduced_jpeg=false").plan().manifest == by_area
    others = [
        ("geometry.mode=crop",),
        ("geometry.mode=random_crop",),
        ("geometry.mode=random_crop", "geometry.smallest=0.7"),
        ("geometry.mode=letterbox",),
        ("geometry.resample=area",),
        ("geometry.reduced_jpeg=false",),
        (TILES,),
        ("geometry={mode: tiles, tiles: {rows: 2, columns: 2}}",),
    ]
    fingerprints = {shard_step(root, *overrides).plan().manifest.fingerprint for overrides in others}
    assert len(fingerprints | {plain.fingerprint}) == len(others) + 1


def test_large_photographs_are_decoded_smaller_unless_that_is_turned_off(root: Path) -> None:
    noise = random_image(np.random.default_rng(1), 128, 192)
    write_camvid_image(root, "train", "000", noise, np.zeros((128, 192), np.uint8), ".jpg")
    with Image.open(root / "train" / "000.jpg") as photograph:
        whole = np.asarray(photograph.resize((48, 32), Image.Resampling.BILINEAR))
    for overrides, is_whole in (((), False), (("geometry.reduced_jpeg=false",), True)):
        run = shard_step(root, *overrides)
        first, *_ = run.work()[1].read(next(iter(run.plan().units())))
        assert isinstance(first, Sample) and first.image is not None
        assert np.array_equal(first.image, whole) == is_whole
