"""One training loop for everything that is trained here: autoencoder, base model and adapter."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from augment.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

    Log = Callable[[str], None]
    Losses = Callable[[int, np.random.Generator], Mapping[str, Tensor]]

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class TrainingOptions:
    """How long and how fast to train.

    Attributes:
        steps: optimiser steps in all.
        batch_size: samples a step.
        learning_rate: peak rate of AdamW, reached after `warmup_steps` and left linearly over the last
            `cooldown` (0..1) of all steps.
        ema_decay: decay of the exponential moving average that is what training returns; the average is
            shorter in the beginning, so that it never remembers the initial weights.
        precision: `bf16` runs the forward pass under autocast, `fp32` does not.
        checkpoint_every, sample_every, log_every: steps between checkpoints, sample grids and log lines.
        seed: what every step's random numbers derive from, together with the step.
    """

    steps: int
    batch_size: int = 16
    learning_rate: float = 4e-4
    warmup_steps: int = 100
    cooldown: float = 0.25
    weight_decay: float = 1e-2
    ema_decay: float = 0.999
    precision: str = "bf16"
    checkpoint_every: int = 500
    sample_every: int = 500
    log_every: int = 50
    seed: int = 0

    def rate(self, step: int) -> float:
        """Learning rate of `step`."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        cool = min(1.0, (self.steps - step) / max(1.0, self.cooldown * self.steps))
        return self.learning_rate * warm * cool


class Trainer:
    """Trains modules under AdamW, with an average of the weights, checkpoints, a loss log and exact resume.

    All randomness of a step comes from a generator seeded by (seed, step), so that a run that was killed and
    resumed takes the same steps as one that was not.
    """

    def __init__(
        self, modules: Mapping[str, nn.Module], options: TrainingOptions, folder: Path, device: torch.device
    ) -> None:
        self.options, self.folder, self.device = options, folder, device
        self.parameters = {
            f"{name}.{key}": value
            for name, module in modules.items()
            for key, value in module.named_parameters()
            if value.requires_grad
        }
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), options.learning_rate, (0.9, 0.99), weight_decay=options.weight_decay, fused=True
        )
        self.average = {key: value.detach().clone() for key, value in self.parameters.items()}
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    def run(self, losses: Losses, log: Log, sample: Callable[[int], None] | None = None) -> None:
        """Take the steps that are left, then put the averaged weights into the modules.

        Args:
            losses: (step, generator) -> named scalar losses; their sum is minimised.
            log: receives a line every `log_every` steps.
            sample: called every `sample_every` steps and at the end while the averaged weights are in place.

        Raises:
            UserError: the loss or its gradient is not finite.
        """
        options = self.options
        started, first = time.monotonic(), self.step
        recent: list[dict[str, float]] = []
        while self.step < options.steps:
            recent.append(self._take_step(losses))
            if self.step % options.log_every == 0 or self.step == options.steps:
                rate = (self.step - first) / (time.monotonic() - started)
                means = {key: sum(values[key] for values in recent) / len(recent) for key in recent[0]}
                self._record(means, rate, log)
                recent = []
            if self.step % options.checkpoint_every == 0:
                self._save()
            if sample and (self.step % options.sample_every == 0 or self.step == options.steps):
                self._with_average(sample)
        self._save()
        self._swap()

    def _take_step(self, losses: Losses) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate(self.step)
        generator = np.random.default_rng((self.options.seed, self.step))
        torch.manual_seed(int(generator.integers(2**62)))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "bf16"):
            terms = losses(self.step, generator)
        total = torch.stack([term.float() for term in terms.values()]).sum()
        self._require_finite("loss", total)
        total.backward()
        # Before the step: a loss that is finite may have a gradient that is not, and the weights would keep it.
        self._require_finite("norm of the gradient", torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1.0))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        decay = min(self.options.ema_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.values()), [p.detach() for p in self.parameters.values()], 1 - decay)
        return {key: float(term.detach()) for key, term in terms.items()}

    def _require_finite(self, what: str, value: Tensor) -> None:
        if not torch.isfinite(value):
            raise UserError(
                f"{self.folder}: the {what} is {value.item()} at step {self.step}: remove the folder and train again "
                f"with a lower learning_rate than {self.options.learning_rate}"
            )

    def _with_average(self, sample: Callable[[int], None]) -> None:
        self._swap()
        try:
            with torch.no_grad():
                sample(self.step)
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        """Exchange weights and averaged weights."""
        for key, value in self.parameters.items():
            kept = value.detach().clone()
            value.copy_(self.average[key])
            self.average[key].copy_(kept)

    def _record(self, means: Mapping[str, float], rate: float, log: Log) -> None:
        row = {"step": self.step, **{key: round(value, 5) for key, value in means.items()}}
        with (self.folder / "loss.jsonl").open("a") as file:
            file.write(json.dumps({**row, "steps_per_second": round(rate, 3)}) + "\n")
        left = (self.options.steps - self.step) / rate
        terms = " ".join(f"{key} {value:.4f}" for key, value in means.items())
        log(f"step {self.step}/{self.options.steps}  {terms}  {rate:.2f} steps/s  {left / 60:.0f} min left")

    def _save(self) -> None:
        """Write the checkpoint beside the old one, then put it in its place."""
        tensors = {f"weight/{key}": value.detach() for key, value in self.parameters.items()}
        tensors |= {f"average/{key}": value for key, value in self.average.items()}
        for key, value in self.parameters.items():
            state = self.optimizer.state[value]
            tensors |= {f"{name}/{key}": state[name] for name in ("exp_avg", "exp_avg_sq", "step")}
        path = self.folder / CHECKPOINT
        scratch = path.with_suffix(".tmp")
        save_file(
            {key: value.contiguous().cpu() for key, value in tensors.items()},
            scratch,
            metadata={"step": str(self.step)},
        )
        scratch.replace(path)

    @torch.no_grad()
    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        if path.exists():
            self._load(path)
        self._truncate_log()

    def _load(self, path: Path) -> None:
        tensors = load_file(path, device=str(self.device))
        for key, value in self.parameters.items():
            if f"weight/{key}" not in tensors or tensors[f"weight/{key}"].shape != value.shape:
                raise UserError(
                    f"{path}: holds no {key!r} of this shape: it is of another model; remove it to start anew"
                )
            value.copy_(tensors[f"weight/{key}"])
            self.average[key].copy_(tensors[f"average/{key}"])
            self.optimizer.state[value] = {name: tensors[f"{name}/{key}"] for name in ("exp_avg", "exp_avg_sq", "step")}
        self.step = int(tensors[f"step/{next(iter(self.parameters))}"].item())

    def _truncate_log(self) -> None:
        """Drop loss rows past the checkpoint, whose steps are taken again, and one that a kill cut in half."""
        path = self.folder / "loss.jsonl"
        if path.exists():
            whole = [row for row in path.read_text().splitlines() if row.endswith("}")]
            rows = [row + "\n" for row in whole if json.loads(row)["step"] <= self.step]
            scratch = path.with_suffix(".tmp")
            scratch.write_text("".join(rows))
            scratch.replace(path)


def log_uniform_int(generator: np.random.Generator, low: int, high: int) -> int:
    """A whole number in `low..high`, its logarithm uniform."""
    return min(high, int(math.exp(generator.uniform(math.log(low), math.log(high + 1)))))
