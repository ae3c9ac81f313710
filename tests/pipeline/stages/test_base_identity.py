"""All results of a run are of one revision of a base on the hub, which the workers load."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from augment.errors import UserError
from augment.lumen.bases.loading import load_diffusion_model
from pipeline.config import Config
from pipeline.stages.base_identity import base_identity, base_revision
from pipeline.stages.generate import Generate, GenerateStep
from pipeline.stages.job import Job
from pipeline.store import JSON, Manifest, Store
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection

Configure = Callable[..., Config]
NAME, BEFORE, AFTER = "owner/base", "a" * 40, "b" * 40
HUB = f"generator.base={NAME}"


@pytest.fixture
def hub(small_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cached model of two revisions; that of the second has other weights in its U-Net."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    # The libraries would ask the hub for files that the cache lacks, such as the index of weights in several files.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "cache" / "models--owner--base"
    for revision in (BEFORE, AFTER):
        shutil.copytree(small_base, folder / "snapshots" / revision)
    path = folder / "snapshots" / AFTER / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: weight + 1 for name, weight in load_file(path).items()}, path, {"format": "pt"})
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(BEFORE)
    return folder


def first_weight(revision: str | None) -> torch.Tensor:
    return next(load_diffusion_model(NAME, revision=revision).network.parameters())


def test_a_revision_is_loaded_whatever_the_newest_is(hub: Path) -> None:
    before = first_weight(None)
    (hub / "refs" / "main").write_text(AFTER)
    torch.testing.assert_close(first_weight(BEFORE), before)
    torch.testing.assert_close(first_weight(None), before + 1)
    torch.testing.assert_close(first_weight(AFTER), before + 1)
    # Its shapes alone are of a revision too.
    assert load_diffusion_model(NAME, "meta", revision=AFTER).network.device.type == "meta"


def test_results_go_on_with_the_revision_of_those_that_exist(hub: Path, copied: Path, configure: Configure) -> None:
    config = configure(copied, HUB, "generate.ks=[2]")
    run(config, Selection(until="generate", redo="generate"), print)
    made: JSON = {"name": NAME, "revision": BEFORE}
    assert Store.open(str(copied / "synthetic")).manifest.inputs["base"] == made
    (hub / "refs" / "main").write_text(AFTER)
    more = Job(configure(copied, HUB, "generate.ks=[2]", "generate.variants=3")).step(GenerateStep)
    stage, _ = more.work()
    assert isinstance(stage, Generate) and stage.revision == BEFORE
    assert not more.is_done() and Job(config).step(GenerateStep).is_done()
    shutil.rmtree(copied / "synthetic")
    assert base_identity(more.job) == {"name": NAME, "revision": AFTER}


def test_checks_read_the_configurations_of_the_revision_of_the_results(
    hub: Path, tmp_path: Path, configure: Configure
) -> None:
    # The newest revision is of another kind, and its tokenizer is gone.
    newest = hub / "snapshots" / AFTER
    (newest / "scheduler" / "scheduler_config.json").write_text("[]")
    (newest / "tokenizer" / "vocab.json").unlink()
    (hub / "refs" / "main").write_text(AFTER)
    given = [HUB, "generator.adapter=null", "layout.basis=own", "adapt.steps=1", "generate.prompts.negative=blurry"]
    step = Job(configure(tmp_path / "space", *given)).step(GenerateStep)
    with pytest.raises(UserError, match="scheduler_config"):
        step.check_models()
    recorded: JSON = {"name": NAME, "revision": BEFORE}
    Store.create(str(tmp_path / "space" / "latents"), Manifest("latents", None, {}, {"base": recorded}))
    step.check_models()


def test_latents_decide_for_what_is_made_from_them_and_earlier_versions_name_none(
    hub: Path, tmp_path: Path, configure: Configure
) -> None:
    job = Job(configure(tmp_path / "space", HUB))
    assert base_revision(job) == BEFORE
    for recorded, expected in (
        ({"name": NAME, "revision": AFTER}, AFTER),
        ({"name": NAME}, None),
        ({"name": "owner/other", "revision": AFTER}, BEFORE),
    ):
        Store.create(str(tmp_path / "space" / "latents"), Manifest("latents", None, {}, {"base": recorded}))
        Store.create(str(tmp_path / "space" / "synthetic"), Manifest("synthetic", None, {}, {"base": {"name": "x"}}))
        assert base_revision(job) == expected
        shutil.rmtree(tmp_path / "space")
    assert hub.is_dir()


def test_a_folder_has_no_revision(tmp_path: Path, configure: Configure) -> None:
    job = Job(configure(tmp_path))
    assert base_revision(job) is None and "digest" in base_identity(job)
