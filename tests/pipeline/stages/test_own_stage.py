"""A stage of somebody's own is a file and a line in the list of stages, and all commands know it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import guarded
from pipeline.stages.registry import STEPS
from pipeline.store import SampleReader, Store, verify_store
from tests.pipeline.stages.blur import BlurStep


@pytest.fixture
def recipe(tmp_path: Path) -> Iterator[list[str]]:
    """A run of two small rendered scenes in a process that knows the stage."""
    STEPS.insert(1, BlurStep)
    small = "dataset.render={train: 1, val: 1, height: 64, width: 128}"
    yield ["quickstart", small, f"workspace={tmp_path / 'space'}", "cluster.executor=serial"]
    STEPS.remove(BlurStep)


def test_a_stage_is_run_and_shown_with_options_resources_and_quarantine(
    recipe: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = tmp_path / "space"
    command = ["run", *recipe, "--until", "blur", "blur.radius=3", "cluster.stages.blur.batch_size=1"]
    assert guarded(command) == 0
    real, blurred = Store.open(str(space / "real")), Store.open(str(space / "blurred"))
    assert verify_store(blurred.url) == []
    for key in ("train_0000", "val_0000"):
        keys = [found for found in (row["key"] for row in real.index().to_pylist()) if found.startswith(key[:3])]
        sharp, soft = (SampleReader(store).read(keys[0]) for store in (real, blurred))
        np.testing.assert_array_equal(sharp.label, soft.label)
        assert np.abs(np.diff(soft.image, axis=1)).sum() < np.abs(np.diff(sharp.image, axis=1)).sum()
    capsys.readouterr()
    assert guarded(["plan", *recipe, "--until", "blur", "blur.radius=3", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["stage"], row["units_left"]) for row in rows] == [("shard", 0), ("blur", 0)]
    assert guarded(["verify", str(space)]) == 0
    assert "blurred: 2 shards, 2 samples" in capsys.readouterr().out
    assert guarded(["quarantine", str(space), "--stage", "blur"]) == 0


def test_other_options_and_a_changed_source_are_noticed(recipe: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(["run", *recipe, "--until", "blur"]) == 0
    capsys.readouterr()
    assert guarded(["run", *recipe, "--until", "blur", "blur.radius=3"]) == 2
    assert "blur.radius: stored 2, requested 3.0" in capsys.readouterr().err
    assert guarded(["run", *recipe, "--until", "shard", "--redo", "shard", "seed=1", "shard.samples_per_shard=1"]) == 0
    capsys.readouterr()
    assert guarded(["run", *recipe, "--until", "blur", "blur.typo=3"]) == 2
    assert "unknown key 'blur.typo'" in capsys.readouterr().err
