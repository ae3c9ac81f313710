"""A training goes on from a checkpoint in an object store, on a machine that has nothing else of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from augment.lumen.options import AdaptOptions
from augment.lumen.training.checkpoint import Checkpoint
from augment.lumen.training.trainer import Trainer
from augment.progress import ignore_step
from pipeline.stages.adapt import AdaptStep
from pipeline.stages.adapt_progress import remote_checkpoints
from pipeline.stages.job import Job
from pipeline.store.location import Location
from tests.pipeline.conftest import Configure


def train(url: str, folder: Path, stop_at: int | None = None) -> Tensor:
    options = AdaptOptions(steps=8, learning_rate=0.05, warmup_steps=2, checkpoint_every=2)
    weight = nn.Parameter(torch.zeros(4))
    module = nn.Module()
    module.register_parameter("weight", weight)

    def losses(step: int, generator: np.random.Generator) -> dict[str, Tensor]:
        if step == stop_at:
            raise KeyboardInterrupt
        return {"error": (weight - torch.from_numpy(generator.normal(size=4)).float()).square().sum()}

    checkpoint = Checkpoint(Location(url))
    trainer = Trainer({"m": module}, options, folder, torch.device("cpu"), "fp32", checkpoint=checkpoint)
    try:
        trainer.run(losses, ignore_step)
    finally:
        checkpoint.wait()
    assert stop_at is not None or trainer.step == 8
    return weight.detach()


def test_training_goes_on_from_an_object_store(bucket: str, tmp_path: Path) -> None:
    expected = train(f"{bucket}/whole", tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(f"{bucket}/cut", tmp_path / "here", stop_at=5)
    assert torch.equal(train(f"{bucket}/cut", tmp_path / "elsewhere"), expected)


def test_checkpoints_are_with_the_stores_and_a_reset_removes_them(
    bucket: str, configure: Configure, tmp_path: Path
) -> None:
    step = AdaptStep(Job(configure(tmp_path, f"stores={bucket}/run")))
    place = Location(f"{bucket}/run/checkpoints")
    place.write("adapter-0/checkpoint.safetensors", b"0")
    assert remote_checkpoints(step.config) == place.url
    step.reset()
    assert not place.exists("adapter-0/checkpoint.safetensors")
    assert remote_checkpoints(configure(tmp_path)) is None
