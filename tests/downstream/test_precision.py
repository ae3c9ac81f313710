"""Training in 16 bits: it learns, resumes to the bit with its scale, and leaves results in 32 bits as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from augment.progress import TrainingStep
from downstream.checkpoint import TrainingState
from downstream.divergence import Diverged, MixedPrecision
from downstream.options import SegmenterTraining
from downstream.training import train

OPTIONS = SegmenterTraining(iterations=6, batch_size=2, decoder_channels=8, checkpoint_interval=3)


class Killed(BaseException):
    """Ends a run at once."""


def kill(step: TrainingStep) -> None:
    if step.step == 5:
        raise Killed


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_killed_training_in_16_bits_ends_with_the_same_weights(
    real_store: str, tmp_path: Path, precision: str
) -> None:
    options = SegmenterTraining.model_validate({**OPTIONS.model_dump(), "precision": precision})
    whole = train("real", real_store, None, options, 0, tmp_path / "whole")
    with pytest.raises(Killed):
        train("real", real_store, None, options, 0, tmp_path / "killed", kill)
    state = TrainingState.load(tmp_path / "killed" / "state.safetensors")
    assert state.header["scaler"] == {} if precision == "bf16" else state.header["scaler"]["scale"] > 1
    resumed = train("real", real_store, None, options, 0, tmp_path / "killed")
    assert replace(resumed, seconds=0) == replace(whole, seconds=0)
    one, other = ((tmp_path / name / "segmenter.safetensors").read_bytes() for name in ("whole", "killed"))
    assert one == other
    exact = train("real", real_store, None, OPTIONS, 0, tmp_path / "exact")
    assert exact.fingerprint != whole.fingerprint and "precision" not in exact.inputs["options"]
    # Rounding changes the loss by little; a scale that is left in the gradients would change it by much.
    assert abs(exact.losses[-1][1] - whole.losses[-1][1]) < 0.1
    assert exact.losses != whole.losses
    assert torch.isfinite(torch.tensor([loss for _, loss in whole.losses])).all()


def test_gradients_that_are_never_finite_end_a_training_in_fp16() -> None:
    """The scaler leaves out every step, and the weights of the start would be the result."""
    weight = torch.nn.Parameter(torch.zeros(1))
    wrapper = MixedPrecision("fp16", optimizer=torch.optim.SGD([weight], 0.1))

    def step() -> None:
        # Its value is 0, and its derivative there is infinite.
        wrapper.update_params(weight.abs().sqrt().sum())

    with pytest.raises(Diverged, match="the gradients in fp16 are not finite"):
        for _ in range(40):
            step()
    assert weight.item() == 0
