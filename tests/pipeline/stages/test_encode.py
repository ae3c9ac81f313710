"""What an adapter is trained on is encoded once, version by version, and read without decoding an image."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from augment.errors import UserError
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.options import AdaptOptions
from augment.lumen.training.batches import Batches, choose
from augment.lumen.training.examples import text_arrays
from pipeline.config import Config
from pipeline.config.compose import load_config
from pipeline.engine import Failed, Ok, Resources, WorkUnit
from pipeline.stages.adapt import AdaptStep
from pipeline.stages.encode import Cut, Encode, EncodeStep
from pipeline.stages.encoded_samples import StoredSamples, require_distinct_keys
from pipeline.stages.extract import load_layout
from pipeline.stages.job import Job
from pipeline.store import CorruptStore, Sample, SampleReader, Store, verify_store
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection, steps_of
from pipeline.workflow.survey import survey
from tests.pipeline.datasets.trees import random_image, save

Configure = Callable[..., Config]
TRAINED = ("adapt.steps=2", "adapt.batch_size=4", "adapt.log_every=1", "adapt.validation_images=0")
AUGMENTED = (*TRAINED, "adapt.flip=true", "adapt.crops=2")
OPTIONS = AdaptOptions(steps=8, batch_size=6, flip=True, crops=2)


@pytest.fixture(scope="module")
def stage(generated: Path, small_base: Path) -> Encode:
    """The stage of that workspace, with all versions."""
    load = partial(load_layout, "dinov2-vits14", generated / "basis" / "layouts", 4)
    stage = Encode(str(small_base), OPTIONS, ("road", "car"), "bf16", load, "cpu", Resources(), 2)
    stage.setup()
    return stage


@pytest.fixture(scope="module")
def real(generated: Path) -> list[Sample]:
    """The training samples of that workspace."""
    return list(SampleReader(Store.open(str(generated / "real"))).samples("train"))


def encoded(stage: Encode, samples: list[Sample]) -> dict[str, Sample]:
    outcomes = stage.process(WorkUnit("train-000000", tuple(sample.key for sample in samples)), samples)
    return {outcome.sample.key: outcome.sample for outcome in outcomes if isinstance(outcome, Ok)}


def test_versions_are_encoded_from_their_own_pixels_whatever_the_batch(stage: Encode, real: list[Sample]) -> None:
    found, again = encoded(stage, real[:2]), encoded(stage, real[1:3][::-1])
    key = real[1].key
    assert [name.removeprefix(key) for name in found if name.startswith(key)] == ["", "_mirror", "_crop00", "_crop01"]
    image = real[1].image
    assert image is not None
    with torch.no_grad():
        mirrored = stage.model.encode(image[None, :, ::-1].copy())[0].half().numpy()
    np.testing.assert_allclose(found[f"{key}_mirror"].latents, mirrored, atol=5e-3)
    whole = found[key].latents
    assert whole is not None and found[key].layout is None
    assert np.abs(whole[..., ::-1].astype(np.float32) - mirrored).max() > 0.1, "else they would not be encoded twice"
    layout = stage._conditioning.maps(image[None, :, ::-1].copy())[0]
    np.testing.assert_allclose(found[f"{key}_mirror"].layout, layout, atol=2e-2)
    for name, sample in found.items():
        if name.startswith(key):
            np.testing.assert_allclose(sample.latents, again[name].latents, atol=5e-3)
            assert sample.metadata == again[name].metadata
    crops = [found[f"{key}_crop{number:02d}"].latents for number in range(2)]
    assert not np.array_equal(*crops)


def test_keys_that_versions_of_other_images_would_have_are_refused_by_name() -> None:
    keys, names = ["x", "x_mirror", "y_crop01", "z"], ["", "mirror", "crop00"]
    message = "adapt: 'x_mirror' is the key of an image, .*'mirror' of the image 'x': rename one .*adapt.flip=false"
    with pytest.raises(UserError, match=message):
        require_distinct_keys(keys, names)
    with pytest.raises(UserError, match=r"'y_crop01' .*'crop01' of the image 'y'.*adapt.crops=0"):
        require_distinct_keys([*keys, "y"], ["", "crop00", "crop01"])
    # Without other versions, and where the image itself is not there, the keys are free.
    require_distinct_keys(keys, [""])
    require_distinct_keys(keys[1:], names)


def test_keys_of_versions_are_checked_before_anything_is_written(tmp_path: Path) -> None:
    for split, names in (("train", ("a", "a_mirror")), ("val", ("b",))):
        for name in names:
            save(tmp_path / "images" / split / f"{name}.png", random_image(np.random.default_rng(0), 32, 64))
    space = tmp_path / "space"
    config = load_config(
        "unlabelled", [f"dataset.root={tmp_path}", f"workspace={space}", "cluster.executor=serial", *AUGMENTED]
    )
    with pytest.raises(UserError, match="'train_a_mirror' is the key of an image, and of the version 'mirror'"):
        run(config, Selection(until="encode"), print)
    assert not space.exists()


def test_a_sample_with_one_version_that_is_not_finite_fails_as_a_whole(
    stage: Encode, real: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = stage.maps

    def overflowing(row: Sequence[Cut], images: NDArray[np.uint8]) -> NDArray[np.float16]:
        found = maps(row, images)
        if row[0].name == "crop01":
            found[0, 0, 0, 0] = np.inf
        return found

    monkeypatch.setattr(stage, "maps", overflowing)
    bad, good = real[:2]
    outcomes = stage.process(WorkUnit("train-000000", (bad.key, good.key)), [bad, good])
    failed, *rest = outcomes
    assert isinstance(failed, Failed) and failed.key == bad.key
    assert failed.reason.startswith("not finite: ") and failed.reason.endswith(" (crop01)")
    assert len(rest) == 4
    assert all(isinstance(outcome, Ok) and outcome.sample.key.startswith(good.key) for outcome in rest)


def test_text_is_that_of_the_caption_and_stored_once_for_all_versions(stage: Encode, real: list[Sample]) -> None:
    key = real[0].key
    found = encoded(stage, real[:1])
    caption = found[key].metadata["caption"]
    with torch.no_grad():
        [expected] = text_arrays(stage.model.embed([caption], 32, 64), torch.float16)
    assert found[key].text is not None
    np.testing.assert_array_equal(found[key].text["embeddings"], expected["embeddings"])
    same = [sample for sample in found.values() if sample.metadata["caption"] == caption]
    assert sum(sample.text is not None for sample in same) == 1
    fp32 = encoded(replace(stage, precision="fp32"), real[:1])[key].text
    assert fp32 is not None and fp32["embeddings"].dtype == np.float32


def test_training_reads_versions_ahead_and_decodes_no_image(
    copied: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch, small_base: Path
) -> None:
    config = configure(copied, *AUGMENTED)
    run(config, Selection(until="encode"), print)
    store = Store.open(str(copied / "latents"))
    assert verify_store(store.url) == []
    assert store.totals().samples == 5 * 4
    base = load_diffusion_model(str(small_base))
    with torch.no_grad():
        [empty] = text_arrays(base.embed([""], 32, 64))
    keys = [sample.key for sample in SampleReader(Store.open(str(copied / "real"))).samples("train")]
    stored = StoredSamples(store.url, str(copied / "layouts"), keys, ("", "mirror", "crop00", "crop01"), 0, empty)

    def refuse(_parts: object) -> None:
        raise AssertionError("an image was decoded")

    monkeypatch.setattr("pipeline.store.codec._decode_image", refuse)
    with Batches(stored, OPTIONS, 3) as batches:
        batch = batches.take(5)
    choices = choose(stored, OPTIONS, 3, 5)
    assert len(set(choices.versions)) > 1
    for row, (pick, version) in enumerate(zip(choices.picks, choices.versions, strict=True)):
        sample = stored.get(pick, version, None)
        np.testing.assert_array_equal(batch.latents[row], sample.latents)
        np.testing.assert_array_equal(batch.layout[row], sample.layout)
        text = sample.text if choices.captioned[row] else empty
        np.testing.assert_array_equal(batch.text.embeddings[row], text["embeddings"])
    # The part of one process, in a training that resumes at this step.
    with Batches(stored, OPTIONS, 3, rows=range(2, 5)) as batches:
        part = batches.take(5)
    assert torch.equal(part.latents, batch.latents[2:5]) and torch.equal(part.k, batch.k[2:5])
    with (
        pytest.raises(CorruptStore, match="it has no gone: see lumen verify"),
        Batches(StoredSamples(store.url, str(copied / "layouts"), ["gone"], ("",), 0, empty), OPTIONS, 3) as batches,
    ):
        batches.take(0)


def test_training_on_versions_differs_and_names_the_store(copied: Path, configure: Configure) -> None:
    losses = {}
    for name, overrides in {"plain": TRAINED, "augmented": AUGMENTED}.items():
        run(configure(copied, *overrides), Selection(until="adapt", redo="encode"), print)
        losses[name] = (copied / "adapter" / "training" / "loss.jsonl").read_text()
        record = json.loads((copied / "adapter" / "artifact.json").read_text())
        assert ("latents" in record["inputs"]) == (name == "augmented")
        assert not {"flip", "crops"} & set(record["inputs"]["options"])
    assert losses["plain"] != losses["augmented"]


def test_half_precision_of_sampling_trains_in_fp32_and_is_the_same_adapter(copied: Path, configure: Configure) -> None:
    inputs = {}
    for precision in ("fp16", "fp32", "bf16"):
        job = Job(configure(copied, *TRAINED, f"generator.precision={precision}"))
        inputs[precision] = (job.step(AdaptStep).inputs(), job.step(EncodeStep).plan().manifest.inputs)
    assert inputs["fp16"] == inputs["fp32"] != inputs["bf16"]


def test_latents_are_not_made_for_an_adapter_that_is_there(copied: Path, configure: Configure) -> None:
    """Workspaces of earlier versions, or whose latents were removed to make space, stay done."""
    run(configure(copied, *TRAINED), Selection(until="adapt", redo="adapt"), print)
    Store.remove(str(copied / "latents"))
    standing = {found.step.name: found.done for found in survey(steps_of(configure(copied, *TRAINED))[:6])}
    assert standing["encode"] and standing["adapt"]
    other = steps_of(configure(copied, "adapt.steps=3"))
    assert not other[[step.name for step in other].index("encode")].is_done()
