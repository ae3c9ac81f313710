"""Captions by a model reach the prompts of the images that they are of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from huggingface_hub import constants

from augment.captioning import Captioner
from augment.errors import UserError
from pipeline.config import Config
from pipeline.engine import Failed, Ok, Resources, WorkUnit
from pipeline.stages.caption import Caption, CaptionStep
from pipeline.stages.job import Job
from pipeline.stages.reading import CaptionedSource, PairedSource, StoreSource
from pipeline.store import Manifest, Sample, SampleReader, Store
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection, steps_of
from pipeline.workflow.verify import verify
from tests.pipeline.small_models import save_small_captioner
from tests.pipeline.workspace.test_model_files import keep_in_cache

Configure = Callable[..., Config]
METADATA = {"split": "train", "dataset": "d"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_captioner(tmp_path_factory.mktemp("captioner"))


def all_of(url: Path) -> dict[str, Sample]:
    reader = SampleReader(Store.open(str(url)))
    return {key: reader.read(key) for key in reader.keys}


def test_run_with_a_model_prompts_with_its_captions(tmp_path: Path, configure: Configure, model: Path) -> None:
    space, asked = tmp_path / "space", {"max_new_tokens": 6, "prompt": "a photo of"}
    few = ("dataset.render.train=2", "dataset.render.val=1", "generate.ks=[4]", "generate.variants=1")
    config = configure(space, *few, f"captions={{model: {model}, max_new_tokens: 6, prompt: a photo of}}")
    run(config, Selection(until="generate"), print)
    captions, real, synthetic = (all_of(space / name) for name in ("captions", "real", "synthetic"))
    assert captions.keys() == real.keys()
    captioner = Captioner(str(model), **asked)  # type: ignore[arg-type]
    for key, sample in real.items():
        assert sample.image is not None
        assert captions[key].metadata["captions"] == captioner.describe(sample.image[None])
    assert len(synthetic) == 3
    for sample in synthetic.values():
        assert [sample.metadata["prompt"]] == captions[str(sample.metadata["source_key"])].metadata["captions"]
    found = verify(str(space))
    assert any(line.startswith("captions: ") for line in found.checked)
    assert found.faults == []
    lines: list[str] = []
    run(config, Selection(until="generate"), lines.append)
    assert [line.split()[1] for line in lines[1:]] == ["done"] * 7
    with pytest.raises(UserError, match=r"captions.*--redo generate"):
        run(configure(space, *few), Selection(until="generate"), print)


def test_recipe_without_a_model_has_no_such_stage(tmp_path: Path, configure: Configure) -> None:
    assert "caption" not in [step.name for step in steps_of(configure(tmp_path))]
    for selection in (Selection(only="caption"), Selection(until="caption")):
        with pytest.raises(UserError, match=r"caption is not a stage of this run: captions\.model is null"):
            run(configure(tmp_path), selection, print)


def test_workers_load_the_revision_of_a_hub_model_that_the_cache_has(
    tmp_path: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    keep_in_cache(tmp_path / "cache", "owner/blip")
    for name, expected in (("owner/blip", "0" * 40), ("owner/other", None)):
        stage, _ = Job(configure(tmp_path / "space", f"captions.model={name}")).step(CaptionStep).work()
        assert isinstance(stage, Caption) and stage.revision == expected


def test_image_of_which_the_model_says_nothing_is_quarantined() -> None:
    class Mute:
        def describe(self, images: np.ndarray) -> list[str]:
            return ["a road", ""][: len(images)]

    stage = Caption("m", 5, "", "cpu", Resources(), 2, _captioner=cast("Captioner", Mute()))
    batch = [Sample(key, np.zeros((8, 8, 3), np.uint8), metadata=METADATA) for key in "ab"]
    described, failed = stage.process(WorkUnit("train-000000", ("a", "b")), batch)
    assert isinstance(described, Ok)
    assert described.sample.metadata["captions"] == ["a road"]
    assert failed == Failed("b", "empty caption: the model wrote nothing about the image")


def test_captions_of_people_and_model_are_joined_and_none_are_needed(tmp_path: Path) -> None:
    label, layout = np.zeros((8, 8), np.uint8), np.zeros((1, 1, 1), np.float16)
    stores = {
        "real": [Sample(key, label=label, metadata={**METADATA, **extra}) for key, extra in OWN.items()],
        "layouts": [Sample(key, layout=layout) for key in OWN],
        "captions": [Sample(key, metadata={"captions": [f"model {key}"]}) for key in "ab"],
    }
    for name, samples in stores.items():
        Store.create(str(tmp_path / name), Manifest(name, None, {})).write_shard("train-000000", samples)
    real, layouts = StoreSource(str(tmp_path / "real"), ("label",)), StoreSource(str(tmp_path / "layouts"), ("layout",))
    source = CaptionedSource(PairedSource(real, layouts), StoreSource(str(tmp_path / "captions"), ()))
    expected = {"a": ["model a"], "b": ["two cats", "model b"], "c": None}
    read = [sample for sample in source.read(WorkUnit("train-000000", tuple("abc"))) if isinstance(sample, Sample)]
    for samples in (read, [source.get(key) for key in "abc"]):
        assert {sample.key: sample.metadata.get("captions") for sample in samples} == expected
        assert all(sample.layout is not None and sample.label is not None for sample in samples)


OWN: dict[str, dict[str, list[str]]] = {"a": {}, "b": {"captions": ["two cats"]}, "c": {}}
