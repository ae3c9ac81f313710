"""Layouts and their views depend on the sample alone, and the adapter trains on the views."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from augment.errors import UserError
from augment.layouts.changes import photometric_copy
from augment.lumen.training.examples import Encoded
from pipeline.config import Config
from pipeline.engine import Ok, Resources, WorkUnit
from pipeline.stages import adapt, adapt_task
from pipeline.stages.encoded_samples import StoredSamples
from pipeline.stages.extract import Extract, load_layout
from pipeline.stages.reading import StoreSource
from pipeline.stages.seeds import stable_seed
from pipeline.store import CorruptStore, Manifest, Sample, SampleReader, Store, verify_store
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection

Configure = Callable[..., Config]
WITH_VIEWS = ("layout.views=2", "adapt.view_share=1", "adapt.steps=2", "adapt.batch_size=2", "adapt.log_every=1")


@pytest.fixture(scope="module")
def stage(generated: Path) -> Extract:
    """The stage of that workspace, with views."""
    load = partial(load_layout, "dinov2-vits14", generated / "basis" / "layouts", 4)
    stage = Extract(load, device="cpu", resources=Resources(), batch_size=2, views=2)
    stage.setup()
    return stage


@pytest.fixture(scope="module")
def real(generated: Path) -> list[Sample]:
    """The training samples of that workspace."""
    return list(SampleReader(Store.open(str(generated / "real"))).samples("train"))


def extracted(stage: Extract, samples: list[Sample], shard: str = "train-000000") -> list[Sample]:
    outcomes = stage.process(WorkUnit(shard, tuple(sample.key for sample in samples)), samples)
    return [outcome.sample for outcome in outcomes if isinstance(outcome, Ok)]


def noted(stage: Extract, samples: list[Sample]) -> dict[str, Ok]:
    outcomes = stage.process(WorkUnit("train-000000", tuple(sample.key for sample in samples)), samples)
    return {outcome.sample.key: outcome for outcome in outcomes if isinstance(outcome, Ok)}


def test_views_are_layouts_of_copies_seeded_by_the_key(stage: Extract, real: list[Sample]) -> None:
    found = extracted(stage, real)
    assert [sample.key for sample in found] == [sample.key for sample in real]
    for sample, source in zip(found, real, strict=True):
        assert sample.layout is not None and sample.views is not None and source.image is not None
        assert sample.views.shape == (2, *sample.layout.shape)
        for number, view in enumerate(sample.views):
            copy = photometric_copy(source.image, stable_seed("view", sample.key, number))
            # Features are float32 and depend on the batch to a few units in the last place.
            np.testing.assert_allclose(view, stage.layouts(copy[None])[0], atol=5e-3)


@pytest.mark.parametrize("size", [1, 2])
def test_views_do_not_depend_on_batch_order_and_shard(stage: Extract, real: list[Sample], size: int) -> None:
    whole = {sample.key: sample.views for sample in extracted(stage, real)}
    turned = real[::-1]
    for start in range(0, len(turned), size):
        for sample in extracted(stage, turned[start : start + size], "train-000007"):
            assert sample.views is not None
            np.testing.assert_allclose(sample.views, whole[sample.key], atol=5e-3)


def test_only_training_samples_have_views(stage: Extract, real: list[Sample]) -> None:
    assert all(sample.views is None for sample in extracted(stage, real[:1], "val-000000"))
    assert all(sample.views is None for sample in extracted(replace(stage, views=0), real[:1]))


def test_adapter_is_trained_on_the_layouts_of_views(
    copied: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(configure(copied, *WITH_VIEWS), Selection(until="adapt", redo="extract"), print)
    store = Store.open(str(copied / "layouts"))
    assert store.manifest.inputs["views"] == 2
    assert verify_store(store.url) == []
    record = json.loads((copied / "adapter" / "artifact.json").read_text())
    assert record["inputs"]["options"]["view_share"] == 1
    losses = (copied / "adapter" / "training" / "loss.jsonl").read_text()

    # The same training on images whose own layout is that of a view.
    class OneView(adapt_task.StoredSamples):
        def get(self, index: int, version: int, view: int | None) -> Encoded:
            assert view is not None
            return super().get(index, version, view)

    monkeypatch.setattr(adapt_task, "StoredSamples", OneView)
    run(configure(copied, *WITH_VIEWS), Selection(until="adapt", redo="adapt"), print)
    assert without_rate((copied / "adapter" / "training" / "loss.jsonl").read_text()) == without_rate(losses)


def without_rate(losses: str) -> list[dict[str, float]]:
    return [{**json.loads(row), "steps_per_second": 0} for row in losses.splitlines()]


def test_layouts_as_bytes_are_those_of_half_precision_but_for_the_error_that_is_noted(
    stage: Extract, real: list[Sample], copied: Path, configure: Configure
) -> None:
    run(configure(copied, "layout.storage=uint8", "layout.views=2"), Selection(until="extract", redo="extract"), print)
    store = Store.open(str(copied / "layouts"))
    assert verify_store(store.url) == []
    exact = {sample.key: sample for sample in extracted(stage, real)}
    notes = {key: outcome.notes for key, outcome in noted(replace(stage, storage="uint8"), real).items()}
    for sample in StoreSource(store.url, ("layout", "views")).read(WorkUnit("train-000000", tuple(exact))):
        assert isinstance(sample, Sample)
        [note] = notes[sample.key]
        bound = float(note.removeprefix("layout rounded by at most "))
        assert 0.005 < bound < 0.05
        for name in ("layout", "views"):
            error = getattr(sample, name).astype(np.float32) - getattr(exact[sample.key], name)
            assert 0 < np.abs(error).max() <= bound + 5e-3


def test_training_on_views_of_a_sample_without_any_names_it(generated: Path, tmp_path: Path) -> None:
    layouts, latents = str(generated / "layouts"), str(tmp_path / "latents")
    key = SampleReader(Store.open(layouts)).keys[0]
    encoded = Sample(key, latents=np.zeros((4, 4, 8), np.float16), text={}, metadata={"caption": ""})
    Store.create(latents, Manifest("latents", None, {})).write_shard("train-000000", [encoded])
    samples = StoredSamples(latents, layouts, [key], ("",), 2, {})
    assert samples.get(0, 0, None).layout.shape == samples.shape
    with pytest.raises(CorruptStore, match=f"{key}: it has no views: make the store again with --redo extract"):
        samples.get(0, 0, 1)


def test_share_of_views_without_views_is_refused(configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"adapt.view_share: 0.5 of the training samples .* give layout.views of 1"):
        configure(tmp_path, "adapt.steps=2", "adapt.view_share=0.5")


@pytest.mark.parametrize(("steps", "key"), [(0, "adapt.steps"), (2, "adapt.view_share")])
def test_views_that_nothing_uses_are_remarked_on(configure: Configure, tmp_path: Path, steps: int, key: str) -> None:
    config = configure(tmp_path, "layout.views=2", f"adapt.steps={steps}")
    remarks = adapt.Job(config).step(adapt.AdaptStep).check([])
    assert remarks == [f"layout.views=2: nothing uses these layouts, as {key} is 0"]
