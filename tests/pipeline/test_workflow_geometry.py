"""What the geometry asked for makes of a run's plan, its fingerprint and its first store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.compose import load_config
from pipeline.datasets import Tiles
from pipeline.engine import ErrorBudget, make_executor, run_store_stage
from pipeline.store import Store, verify_store
from pipeline.workflow_layouts import Layouts
from pipeline.workspace import Workspace
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


def layouts(root: Path, *overrides: str) -> Layouts:
    base = ("geometry.height=32", "geometry.width=48", "shard.samples_per_shard=9", "~dataset.limit")
    named = (f"dataset.root={root}", f"workspace={root.parent / 'work'}", "cluster.executor=serial")
    config = load_config("camvid", [*base, *named, *overrides])
    return Layouts(config, Workspace.of(config))


def test_a_run_in_tiles_counts_plans_and_writes_tiles(root: Path) -> None:
    run = layouts(root, TILES)
    assert run.frame_geometry.tiles == Tiles(2, 2, 0.25)
    assert run.counts() == {"train": 20, "val": 8}
    plan = run.plan_shard()
    units = list(plan.units())
    assert run.size().units == len(units) == len(plan.shards) == 4
    assert run.size().samples == sum(len(unit.keys) for unit in units) == 28
    stage, source = run.shard_work()
    store = Store.create(str(root.parent / "store"), plan.manifest)
    executor = make_executor("serial")
    summary = run_store_stage(stage, source, store, units, executor, ErrorBudget(), lambda _: None)
    assert (summary.samples, summary.failures) == (28, 0)
    assert verify_store(store.url) == []


def test_only_what_changes_samples_is_part_of_the_fingerprint(root: Path) -> None:
    plain = layouts(root).plan_shard().manifest
    assert set(plain.inputs) == {"dataset", "listing", "samples_per_shard"}
    # As it was before there were other modes, so that stores of that time go on.
    assert layouts(root, "geometry.mode=resize").plan_shard().manifest == plain
    others = [
        ("geometry.mode=crop",),
        ("geometry.mode=random_crop",),
        ("geometry.mode=random_crop", "geometry.smallest=0.7"),
        ("geometry.mode=letterbox",),
        ("geometry.resample=area",),
        ("geometry.reduced_jpeg=true",),
        (TILES,),
        ("geometry={mode: tiles, tiles: {rows: 2, columns: 2}}",),
    ]
    fingerprints = {layouts(root, *overrides).plan_shard().manifest.fingerprint for overrides in others}
    assert len(fingerprints | {plain.fingerprint}) == len(others) + 1
