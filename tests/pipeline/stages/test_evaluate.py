"""What the stage evaluate depends on, and what it refuses before anything is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from augment.errors import UserError
from downstream.options import EvaluateOptions
from pipeline.config.compose import load_config
from pipeline.stages.evaluate import EvaluateStep
from pipeline.stages.job import Job
from pipeline.store import JSON
from tests.pipeline.small_models import save_small_depth
from tests.pipeline.workspace.test_model_files import keep_in_cache


def step(space: Path, *settings: str) -> EvaluateStep:
    return Job(load_config("quickstart", [f"workspace={space}", *settings])).step(EvaluateStep)


def test_the_measures_are_an_input_only_where_they_differ_from_the_defaults() -> None:
    assert EvaluateOptions().measures == {}
    assert EvaluateOptions(split="test", second_judge="segformer_mit-b1").measures == {}
    assert EvaluateOptions(images=7, train_images=1000).measures == {"images": 7}


def test_a_second_judge_must_exist_and_be_of_another_architecture(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"evaluate\.second_judge=segformer_mit-b0: that is downstream.model"):
        step(tmp_path, "evaluate.second_judge=segformer_mit-b0").check_settings()
    with pytest.raises(UserError, match="no model 'nothing'"):
        step(tmp_path, "evaluate.second_judge=nothing").check_settings()
    step(tmp_path, "evaluate.second_judge=segformer_mit-b1").check_settings()


def test_the_second_judge_is_trained_as_the_first_but_for_its_model(tmp_path: Path) -> None:
    found = step(tmp_path, "evaluate.second_judge=segformer_mit-b1", "downstream.batch_size=3").second_job.config
    assert (found.downstream.model, found.downstream.batch_size) == ("segformer_mit-b1", 3)
    assert found.downstream.pretrained is None


def test_models_of_another_kind_are_refused_with_their_key(tmp_path: Path) -> None:
    save_small_depth(tmp_path / "depth")
    depth = f"evaluate.depth_model={tmp_path / 'depth'}"
    step(tmp_path, depth).check_models()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    for key in ("clip_model", "depth_model"):
        with pytest.raises(UserError, match=f"evaluate.{key}=.*of type 'bert'"):
            step(tmp_path, f"evaluate.{key}={tmp_path / 'text'}").check_models()
    with pytest.raises(UserError, match=r"evaluate: .*evaluate\.images=0 leaves the features out"):
        step(tmp_path, f"evaluate.backbone={tmp_path / 'text'}").check_models()
    # Nothing is measured with them.
    step(tmp_path, "evaluate.images=0", f"evaluate.clip_model={tmp_path / 'text'}").check_models()


def test_a_depth_model_that_cannot_be_loaded_is_named_by_its_key(tmp_path: Path) -> None:
    save_small_depth(tmp_path / "depth")
    (tmp_path / "depth" / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match=r"^evaluate\.depth_model=.*: transformers cannot load it"):
        step(tmp_path, f"evaluate.depth_model={tmp_path / 'depth'}").check_models()


def test_models_of_the_hub_are_pinned_to_the_revision_of_the_table_or_of_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    keep_in_cache(tmp_path / "cache", "owner/clip")
    clip, depth = "evaluate.clip_model=owner/clip", "evaluate.depth_model=owner/depth"
    cached: JSON = {"name": "owner/clip", "revision": "0" * 40}
    found = step(tmp_path, clip, depth)._changed()
    assert found == {"measures": {"clip_model": cached, "depth_model": {"name": "owner/depth"}}}
    # A table that is there stays as it is, with a revision or, of an earlier version, without.
    for recorded in ({"name": "owner/clip", "revision": "1" * 40}, {"name": "owner/clip"}):
        monkeypatch.setattr(EvaluateStep, "inputs_in", lambda *_, of=recorded: {"measures": {"clip_model": of}})
        assert step(tmp_path, clip)._models() == {"clip_model": recorded}
    assert step(tmp_path)._changed() == {}


def test_the_backbone_of_the_features_is_an_input_where_the_images_do_not_depend_on_it(tmp_path: Path) -> None:
    canny = ("conditioning=canny", "generator.adapter=null", "generate.ks=all", "adapt.steps=1", "layout.basis=own")
    assert "features" in step(tmp_path, *canny)._changed()
    assert "features" not in step(tmp_path, *canny, "evaluate.images=0")._changed()
    assert "features" not in step(tmp_path)._changed()
