"""Moments are those of the images, however these are cut into shards, batches and workers."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augment.errors import UserError
from augment.layouts.basis import LayoutBasis
from augment.layouts.moments import SceneMoments
from augment.layouts.options import BasisOptions
from augment.progress import TrainingStep, ignore_step
from pipeline.engine import FittingBatches, Resources, WorkUnit
from pipeline.engine.executor import SerialExecutor
from pipeline.engine.stage import OnUnitStep
from pipeline.stages.fit import OWN, FitMoments, FitStep, fitting_units, training_units
from pipeline.stages.job import Job
from pipeline.stages.reading import StoreSource
from pipeline.stages.tools import Tools
from pipeline.store import SampleReader, Store
from pipeline.workflow.kept_config import read_config
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection
from tests.pipeline.conftest import Configure


@pytest.fixture(scope="module")
def task(generated: Path) -> FitMoments:
    source = StoreSource(str(generated / "real"), ("image",))
    options = BasisOptions(copies=1)
    task = FitMoments(source, "dinov2-vits14", options, device="cpu", resources=Resources(), batch_size=3)
    task.setup()
    return task


def training_keys(workspace: Path) -> list[str]:
    reader = SampleReader(Store.open(str(workspace / "real")))
    return [key for key in reader.keys if reader.read(key).metadata["split"] == "train"]


def test_only_training_shards_are_planned() -> None:
    units = training_units(
        {"train-000000": ("a",), "train-000001": (), "val-000000": ("b",), "training-000000": ("c",)}
    )
    assert [unit.shard for unit in units] == ["train-000000"]


def test_moments_do_not_depend_on_shards_and_batches(task: FitMoments, generated: Path) -> None:
    keys = training_keys(generated)
    whole = task.train(WorkUnit("train-000000", tuple(keys)), ignore_step).moments
    for size, batch in ((1, 1), (2, 2), (4, 3)):
        cut = replace(task, batch_size=batch)
        parts = [
            cut.train(WorkUnit(f"train-{start:06d}", tuple(keys[start : start + size])), ignore_step).moments
            for start in range(0, len(keys), size)
        ]
        merged = SceneMoments.merged(parts)
        assert merged.images.count == whole.images.count
        # Features themselves are float32 and depend on the batch to a few units in the last place.
        np.testing.assert_allclose(merged.images.mean, whole.images.mean, atol=1e-4)
        for one, other in ((merged.images.m2, whole.images.m2), (merged.within, whole.within)):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3 * np.abs(other).max())


def test_each_batch_of_images_is_reported(task: FitMoments, generated: Path) -> None:
    steps: list[TrainingStep] = []
    task.train(WorkUnit("train-000000", tuple(training_keys(generated))), steps.append)
    assert [(step.step, step.total, step.noun) for step in steps] == [(3, 5, "image"), (5, 5, "image")]


def test_a_limit_spreads_the_images_over_the_shards_and_changes_no_others() -> None:
    units = [WorkUnit(f"train-{i:06d}", tuple(f"{i}-{j}" for j in range(5))) for i in range(4)]
    assert fitting_units(units, None) == fitting_units(units, 20) == units
    fewer = fitting_units(units, 4)
    assert [unit.shard for unit in fewer] == [unit.shard for unit in units]
    assert [len(unit.keys) for unit in fewer] == [1] * 4
    assert len(fitting_units(units, 2)) == 2


class Backwards(SerialExecutor):
    """Completes the last unit first."""

    def train(
        self, task: Any, units: Sequence[WorkUnit], on_step: OnUnitStep
    ) -> Generator[tuple[WorkUnit, Any], None, None]:
        """Each unit with its result, from the end."""
        yield from super().train(task, list(reversed(units)), on_step)


def test_basis_does_not_depend_on_the_order_in_which_shards_complete(generated: Path, tmp_path: Path) -> None:
    config = read_config(generated)
    lines: list[str] = []
    tools = Tools(config, lines.append)
    tools.__dict__["executor"] = Backwards()
    Job(config).step(FitStep).build(tmp_path, tools, {})
    again, before = (LayoutBasis.load(folder / OWN) for folder in (tmp_path, generated / "basis"))
    assert again.digest == before.digest
    assert lines[0] == "fit: image 0/5"
    assert lines[-1].startswith("fit: image 5/5")


def test_features_that_are_not_finite_end_the_fit_and_name_the_backbone(task: FitMoments, generated: Path) -> None:
    class Broken:
        channels = 384

        def features(self, images: np.ndarray, _stride: int) -> torch.Tensor:
            return torch.full((len(images), 384, 4, 8), float("nan"))

    broken = replace(task)
    broken._model = Broken()  # type: ignore[assignment]
    with pytest.raises(UserError, match=r"^backbone.name=dinov2-vits14: of images in train-000000, \d+ of \d+ feature"):
        broken.train(WorkUnit("train-000000", tuple(training_keys(generated)[:2])), ignore_step)


def test_moments_are_those_of_whole_batches_where_memory_holds_one_image_alone(
    task: FitMoments, generated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = WorkUnit("train-000000", tuple(training_keys(generated)[:3]))
    whole = task.train(unit, ignore_step).moments
    assert task._model is not None
    features = task._model.features

    def one_alone(images: np.ndarray, stride: int) -> torch.Tensor:
        if len(images) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return features(images, stride)

    small = replace(task)
    small._batches = FittingBatches("fit", 3)
    monkeypatch.setattr(task._model, "features", one_alone)
    moments = small.train(unit, ignore_step).moments
    assert moments.images.count == whole.images.count
    np.testing.assert_allclose(moments.images.m2, whole.images.m2, rtol=1e-4, atol=1e-2)
    assert small._batches.size == 1


def test_a_basis_of_an_earlier_version_is_done_where_its_options_are_asked_for(
    copied: Path, configure: Configure
) -> None:
    earlier = "layout={k_max: 4, basis: own, basis_kind: pca, standardize: false, fit_images: null}"
    inputs = Job(configure(copied, earlier, "adapt.steps=1")).step(FitStep).inputs()
    assert set(inputs) == {"real", "split", "backbone", "k_max", "adapter_basis"}
    other = Job(configure(copied, earlier.replace("false", "true"), "adapt.steps=1")).step(FitStep).inputs()
    assert other["fitting"] == {"basis_kind": "pca", "standardize": True, "fit_images": None}


def test_more_components_than_channels_are_refused_before_the_run(configure: Configure, tmp_path: Path) -> None:
    layout = "layout={k_max: 128, basis: own}"
    overrides = ("generator.adapter=null", "adapt.steps=1", "backbone.name=lumen-tiny?block=2")
    with pytest.raises(UserError, match=r"layout.k_max=128: backbone.name=lumen-tiny\?block=2 has 80 channels"):
        run(configure(tmp_path / "space", layout, *overrides), Selection(until="fit"), print)
    assert not (tmp_path / "space").exists()


def test_options_of_a_basis_that_no_layout_is_written_in_get_a_remark(configure: Configure, tmp_path: Path) -> None:
    def remarks(*overrides: str) -> list[str]:
        return Job(configure(tmp_path / "space", *overrides)).step(FitStep).check([])

    assert remarks() == []
    assert remarks("layout.basis=own", "layout.basis_kind=pca", "adapt.steps=1") == []
    [line] = remarks("layout.basis_kind=pca")
    assert "layout.basis=own" in line


def test_variance_is_not_said_of_a_basis_that_takes_other_images(generated: Path) -> None:
    facts = json.loads((generated / "basis" / "artifact.json").read_text())["facts"]
    own, used = (LayoutBasis.load(generated / "basis" / name) for name in ("own", "layouts"))
    assert own.standardized and not used.standardized
    assert set(facts["explained_variance"]) == {"own"}
