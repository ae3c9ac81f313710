"""A training that was cut off and resumed ends where an undisturbed one ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from augment.errors import UserError
from augment.lumen.trainer import Trainer, TrainingOptions, log_uniform_int

OPTIONS = TrainingOptions(
    steps=12,
    learning_rate=0.05,
    warmup_steps=2,
    precision="fp32",
    checkpoint_every=4,
    log_every=2,
    sample_every=6,
)


def problem() -> tuple[nn.Module, nn.Parameter]:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    return model, model.weight


def train(folder: Path, options: TrainingOptions, stop_at: int | None = None) -> dict[str, Tensor]:
    model, _ = problem()

    def losses(step: int, generator: np.random.Generator) -> Mapping[str, Tensor]:
        if step == stop_at:
            raise KeyboardInterrupt
        inputs = torch.from_numpy(generator.normal(size=(8, 3))).float()
        noise = 0.1 * torch.randn(8)
        return {"error": (model(inputs)[:, 0] - inputs.sum(dim=1) - noise).square().mean()}

    Trainer({"model": model}, options, folder, torch.device("cpu")).run(losses, lambda _: None)
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


def test_training_learns_and_returns_the_average(tmp_path: Path) -> None:
    weights = train(tmp_path, replace(OPTIONS, steps=400, ema_decay=0.9))
    assert torch.allclose(weights["weight"], torch.ones(3), atol=0.1)


def test_diverged_training_stops_with_the_step_and_the_rate(tmp_path: Path) -> None:
    model, weight = problem()

    def losses(_step: int, _generator: np.random.Generator) -> Mapping[str, Tensor]:
        return {"error": weight.sum() * float("nan")}

    with pytest.raises(UserError, match=r"the loss is nan at step 0: .*a lower learning_rate"):
        Trainer({"model": model}, OPTIONS, tmp_path, torch.device("cpu")).run(losses, lambda _: None)


def test_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    train(tmp_path, OPTIONS)
    with pytest.raises(UserError, match="it is of another model"):
        Trainer({"model": nn.Linear(4, 1)}, OPTIONS, tmp_path, torch.device("cpu"))


def test_rate_rises_stays_and_falls_to_zero() -> None:
    options = TrainingOptions(steps=100, learning_rate=1.0, warmup_steps=10, cooldown=0.2)
    assert options.rate(0) == pytest.approx(0.1)
    assert options.rate(50) == 1.0
    assert options.rate(90) == pytest.approx(0.5)
    assert options.rate(99) == pytest.approx(0.05)


def test_every_k_is_drawn_and_small_ones_more_often() -> None:
    generator = np.random.default_rng(0)
    counts = np.bincount([log_uniform_int(generator, 1, 20) for _ in range(20_000)], minlength=21)
    assert counts[0] == 0
    assert (counts[1:] > 0).all()
    assert counts[1] > 5 * counts[10]


def test_gradient_that_is_not_finite_stops_before_it_reaches_the_weights(tmp_path: Path) -> None:
    """The loss is finite at every step, and the root has no slope where it starts."""
    model, weight = problem()

    def losses(_step: int, _generator: np.random.Generator) -> Mapping[str, Tensor]:
        return {"error": (weight.sum() * 0).abs().sqrt()}

    with pytest.raises(UserError, match=r"the norm of the gradient is nan at step 0"):
        Trainer({"model": model}, OPTIONS, tmp_path, torch.device("cpu")).run(losses, lambda _: None)
    assert torch.isfinite(weight).all()
