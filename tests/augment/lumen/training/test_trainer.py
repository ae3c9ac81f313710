"""A training that was cut off and resumed ends where an undisturbed one ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from augment.errors import UserError
from augment.lumen.options import AdaptOptions, TrainerOptions
from augment.lumen.training.checkpoint import CHECKPOINT
from augment.lumen.training.trainer import Trainer, log_uniform_int
from augment.progress import OnStep, TrainingStep, ignore_step
from tests.scalars import read_scalars

OPTIONS = AdaptOptions(
    steps=12,
    learning_rate=0.05,
    warmup_steps=2,
    checkpoint_every=4,
    log_every=2,
    sample_every=6,
)


def problem() -> tuple[nn.Module, nn.Parameter]:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    return model, model.weight


def train(
    folder: Path, options: TrainerOptions, stop_at: int | None = None, on_step: OnStep = ignore_step
) -> dict[str, Tensor]:
    model, _ = problem()

    def losses(step: int, generator: np.random.Generator) -> Mapping[str, Tensor]:
        if step == stop_at:
            raise KeyboardInterrupt
        inputs = torch.from_numpy(generator.normal(size=(8, 3))).float()
        noise = 0.1 * torch.randn(8)
        return {"error": (model(inputs)[:, 0] - inputs.sum(dim=1) - noise).square().mean()}

    Trainer({"model": model}, options, folder, torch.device("cpu"), "fp32").run(losses, on_step)
    return {key: value.detach().clone() for key, value in model.state_dict().items()}


@pytest.mark.parametrize("stop_at", [3, 4, 9])
def test_resumed_training_equals_an_undisturbed_one(tmp_path: Path, stop_at: int) -> None:
    expected = train(tmp_path / "whole", OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", OPTIONS, stop_at)
    resumed = train(tmp_path / "cut", OPTIONS)
    for key, value in expected.items():
        assert torch.equal(resumed[key], value)
    logs = [
        [json.loads(row)["step"] for row in (tmp_path / name / "loss.jsonl").read_text().splitlines()]
        for name in ("whole", "cut")
    ]
    assert logs[0] == logs[1] == [2, 4, 6, 8, 10, 12]


def losses_logged(folder: Path) -> list[tuple[int, float]]:
    rows = [json.loads(row) for row in (folder / "loss.jsonl").read_text().splitlines()]
    return [(row["step"], row["error"]) for row in rows]


def test_checkpoint_by_time_loses_no_step_and_no_loss(tmp_path: Path) -> None:
    by_steps = OPTIONS.model_copy(update={"checkpoint_every": 1000})
    expected = train(tmp_path / "whole", by_steps)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "steps", by_steps, stop_at=5)
    assert not (tmp_path / "steps" / CHECKPOINT).exists()
    by_time = by_steps.model_copy(update={"checkpoint_minutes": 1e-9})
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "time", by_time, stop_at=5)
    steps: list[TrainingStep] = []
    resumed = train(tmp_path / "time", by_time, on_step=steps.append)
    assert [step.step for step in steps] == [6, 7, 8, 9, 10, 11, 12]
    assert all(torch.equal(resumed[key], value) for key, value in expected.items())
    # The row of step 6 is the mean over one step before the stop and one behind it.
    assert losses_logged(tmp_path / "time") == losses_logged(tmp_path / "whole")


def test_every_step_is_reported_with_its_losses_and_the_time_left(tmp_path: Path) -> None:
    steps: list[TrainingStep] = []
    train(tmp_path, OPTIONS, on_step=steps.append)
    assert [step.step for step in steps] == list(range(1, 13))
    assert [step.is_last for step in steps] == [False] * 11 + [True]
    assert all(step.losses.keys() == {"error"} and step.rate > 0 and step.total == 12 for step in steps)
    seconds = [step.seconds_left for step in steps]
    assert seconds[-1] == 0 and all(left is not None and left > 0 for left in seconds[:-1])


def test_scalars_for_tensorboard_are_those_of_the_loss_log(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, OPTIONS, stop_at=9)
    train(tmp_path, OPTIONS)
    assert read_scalars(tmp_path, "loss/error") == pytest.approx(dict(losses_logged(tmp_path)), abs=1e-5)
    assert set(read_scalars(tmp_path, "learning_rate")) == {2, 4, 6, 8, 10, 12}


def test_training_learns_and_returns_the_average(tmp_path: Path) -> None:
    weights = train(tmp_path, OPTIONS.model_copy(update={"steps": 400, "ema_decay": 0.9}))
    assert torch.allclose(weights["weight"], torch.ones(3), atol=0.1)


def test_diverged_training_stops_with_the_step_and_the_rate(tmp_path: Path) -> None:
    model, weight = problem()

    def losses(_step: int, _generator: np.random.Generator) -> Mapping[str, Tensor]:
        return {"error": weight.sum() * float("nan")}

    with pytest.raises(UserError, match=r"the loss is nan at step 0: .*a lower learning_rate"):
        Trainer({"model": model}, OPTIONS, tmp_path, torch.device("cpu"), "fp32").run(losses, ignore_step)


def test_gradient_that_is_not_finite_stops_the_training_with_its_step(tmp_path: Path) -> None:
    model, weight = problem()

    def losses(step: int, _generator: np.random.Generator) -> Mapping[str, Tensor]:
        # The root has an infinite slope at zero, and a value.
        return {"error": (weight.sum() * 0 * (step >= 3)).abs().sqrt() if step >= 3 else weight.sum() * 0}

    with pytest.raises(UserError, match=r"the gradient is not finite at step 3: .*a lower learning_rate"):
        Trainer({"model": model}, OPTIONS, tmp_path, torch.device("cpu"), "fp32").run(losses, ignore_step)


def test_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    train(tmp_path, OPTIONS)
    with pytest.raises(UserError, match="it is of another model"):
        Trainer({"model": nn.Linear(4, 1)}, OPTIONS, tmp_path, torch.device("cpu"))


def test_rate_rises_stays_and_falls_to_zero(tmp_path: Path) -> None:
    model, _ = problem()
    options = AdaptOptions(steps=100, learning_rate=1.0, warmup_steps=10)
    trainer = Trainer({"model": model}, options, tmp_path, torch.device("cpu"), cooldown=0.2)
    assert trainer.rate(0) == pytest.approx(0.1)
    assert trainer.rate(50) == 1.0
    assert trainer.rate(90) == pytest.approx(0.5)
    assert trainer.rate(99) == pytest.approx(0.05)


def test_every_k_is_sampled_and_small_ones_more_often() -> None:
    generator = np.random.default_rng(0)
    counts = np.bincount([log_uniform_int(generator, 1, 20) for _ in range(20_000)], minlength=21)
    assert counts[0] == 0
    assert (counts[1:] > 0).all()
    assert counts[1] > 5 * counts[10]


def test_a_process_that_was_replaced_writes_no_more(tmp_path: Path) -> None:
    """A worker whose driver is gone goes on for a while, and another one has its place."""
    expected = train(tmp_path / "whole", OPTIONS)
    successors: list[dict[str, Tensor]] = []

    def on_step(step: TrainingStep) -> None:
        if step.step == 5 and not successors:
            successors.append(train(tmp_path / "run", OPTIONS))

    with pytest.raises(UserError, match="another process has taken over this training"):
        train(tmp_path / "run", OPTIONS, on_step=on_step)
    assert all(torch.equal(successors[0][key], value) for key, value in expected.items())
    rows, whole = ((tmp_path / name / "loss.jsonl").read_text().splitlines() for name in ("run", "whole"))
    assert [json.loads(row)["step"] for row in rows] == [json.loads(row)["step"] for row in whole]
    assert [json.loads(row)["error"] for row in rows] == [json.loads(row)["error"] for row in whole]
