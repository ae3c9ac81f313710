"""A run trains a new adapter that begins as a ControlNet of diffusers, and records which one."""

from __future__ import annotations

from pathlib import Path

import torch

from augment.lumen.adapter import load_adapter
from augment.lumen.bases.loading import load_diffusion_model
from pipeline.export.adapter_card import adapter_card
from pipeline.stages.adapt import AdaptStep
from pipeline.stages.adapter_inputs import controlnet_identity, record_controlnet
from pipeline.stages.job import Job
from pipeline.store import JSON
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection
from tests.augment.lumen.test_warm_start import state, trained_controlnet
from tests.pipeline.conftest import Configure

# So short a step that the weights hardly change.
NEW = (
    *("generator.adapter=null", "layout={k_max: 4, basis: own}", "adapt.steps=1", "adapt.batch_size=2"),
    *("adapt.learning_rate=1e-9", "adapt.validation_images=0"),
)


def test_adapter_begins_as_the_controlnet_and_depends_on_its_content(
    configure: Configure, small_base: Path, tmp_path: Path
) -> None:
    controlnet = trained_controlnet(load_diffusion_model(str(small_base)))
    controlnet.save_pretrained(tmp_path / "controlnet")
    config = configure(tmp_path / "space", *NEW, f"adapt.controlnet={tmp_path / 'controlnet'}")
    run(config, Selection(until="adapt"), print)
    adapter = load_adapter(tmp_path / "space" / "adapter")
    theirs = state(controlnet)
    for name, value in state(adapter.controlnet).items():
        if not name.startswith("controlnet_cond_embedding"):
            assert torch.allclose(value, theirs[name], atol=1e-6), name

    step = AdaptStep(Job(config))
    recorded = step.record.inputs["controlnet"]
    assert isinstance(recorded, dict) and recorded["name"] == "controlnet"
    card = adapter_card(config, step.record, step.path)
    assert f"| started from | controlnet@{recorded['digest']}, licence: unknown |" in card
    assert f"adapt.controlnet={tmp_path / 'controlnet'}" in card and "a copy of those of the ControlNet" in card

    def inputs(*changes: str) -> dict[str, JSON]:
        return dict(AdaptStep(Job(configure(tmp_path / "space", *NEW, *changes))).inputs())

    with_it, without = inputs(f"adapt.controlnet={tmp_path / 'controlnet'}"), inputs()
    assert with_it == {**without, "controlnet": recorded}, "nothing else changes, and without it nothing does"
    trained_controlnet(load_diffusion_model(str(small_base)), controlnet_conditioning_channel_order="bgr").save_config(
        tmp_path / "controlnet"
    )
    assert inputs(f"adapt.controlnet={tmp_path / 'controlnet'}") != with_it


def test_an_interrupted_training_goes_on_with_the_revision_that_it_began_with(
    configure: Configure, tmp_path: Path
) -> None:
    job = Job(configure(tmp_path / "space", *NEW, "adapt.controlnet=owner/controlnet"))
    assert controlnet_identity(job, "owner/controlnet") == {"name": "owner/controlnet"}, "nothing is in the hub's cache"
    begun = {"name": "owner/controlnet", "revision": "a" * 40}
    record_controlnet(job.workspace.artifact("adapter").with_name(".adapter-0123456789ab.partial"), begun)
    assert controlnet_identity(job, "owner/controlnet") == begun
    assert controlnet_identity(job, "owner/other") == {"name": "owner/other"}
