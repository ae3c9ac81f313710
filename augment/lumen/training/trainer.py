"""The training loop of autoencoder, base model and adapter."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from augment.errors import UserError
from augment.files import write_whole, written_whole
from augment.lumen.options import COOLDOWN
from augment.progress import TrainingStep
from augment.scalars import AddScalars, scalar_writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

    from augment.lumen.options import TrainerOptions
    from augment.progress import OnStep

    Losses = Callable[[int, np.random.Generator], Mapping[str, Tensor]]

CHECKPOINT = "checkpoint.safetensors"
LOSSES = "loss.jsonl"
WEIGHT_DECAY = 1e-2


class Trainer:
    """Trains modules under AdamW, with an average of the weights, checkpoints, a loss log and exact resume.

    All randomness of a step comes from a generator seeded by (seed, step), so that a run that was killed and
    resumed takes the same steps as one that was not. The average is shorter in the beginning, so that it forgets the
    initial weights.

    Args:
        modules: name -> module; parameters that require gradients are trained.
        options: length and speed.
        folder: where checkpoint and loss log are kept.
        device: of the modules.
        precision: `bf16` runs the forward pass under autocast, `fp32` does not.
        seed: seed of the steps.
        cooldown: share of the steps, 0..1, over which the rate falls linearly to 0 at the end.

    Raises:
        UserError: the folder holds the checkpoint of another model.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        options: TrainerOptions,
        folder: Path,
        device: torch.device,
        precision: str = "bf16",
        seed: int = 0,
        cooldown: float = COOLDOWN,
    ) -> None:
        self.options, self.folder, self.device = options, folder, device
        self.precision, self.seed, self.cooldown = precision, seed, cooldown
        self.parameters = {
            f"{name}.{key}": value
            for name, module in modules.items()
            for key, value in module.named_parameters()
            if value.requires_grad
        }
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), options.learning_rate, (0.9, 0.99), weight_decay=WEIGHT_DECAY, fused=True
        )
        self.average = {key: value.detach().clone() for key, value in self.parameters.items()}
        self.step = 0
        # Losses since the last row of the log.
        self._recent: list[dict[str, float]] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    def run(self, losses: Losses, on_step: OnStep, sample: Callable[[int], None] | None = None) -> None:
        """Take the remaining steps, then load the averaged weights into the modules.

        Args:
            losses: (step, generator) -> named scalar losses; their sum is minimised.
            on_step: called after every step, with the losses of that step.
            sample: called every `sample_every` steps and at the end, while the averaged weights are loaded.

        Raises:
            UserError: the loss or its gradient is not finite.
        """
        with scalar_writer(self.folder, self.step) as add_scalars:
            self._run(losses, on_step, sample, add_scalars)
        self._swap()

    def rate(self, step: int) -> float:
        """Learning rate of `step`."""
        options = self.options
        warm = min(1.0, (step + 1) / max(1, options.warmup_steps))
        cool = min(1.0, (options.steps - step) / max(1.0, self.cooldown * options.steps))
        return options.learning_rate * warm * cool

    def _run(
        self, losses: Losses, on_step: OnStep, sample: Callable[[int], None] | None, add_scalars: AddScalars
    ) -> None:
        options = self.options
        started, first = time.monotonic(), self.step
        saved, saved_step = started, first
        while self.step < options.steps:
            self._recent.append(self._take_step(losses))
            rate = (self.step - first) / (time.monotonic() - started)
            on_step(TrainingStep(self.step, options.steps, self._recent[-1], rate))
            last = self.step == options.steps
            if self.step % options.log_every == 0 or last:
                self._record(rate, add_scalars)
            overdue = time.monotonic() - saved > 60 * options.checkpoint_minutes
            if self.step % options.checkpoint_every == 0 or overdue:
                self._save()
                saved, saved_step = time.monotonic(), self.step
            if sample and (self.step % options.sample_every == 0 or last):
                self._with_average(sample)
        if saved_step < self.step:
            self._save()

    def _take_step(self, losses: Losses) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(self.step)
        generator, torch_seed = step_generator(self.seed, self.step)
        torch.manual_seed(torch_seed)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            terms = losses(self.step, generator)
        total = torch.stack([term.float() for term in terms.values()]).sum()
        if not torch.isfinite(total):
            raise self._diverged(f"the loss is {total.item()}")
        total.backward()
        # A finite loss may have a gradient that is not, which would make every weight NaN.
        if not torch.isfinite(torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)):
            raise self._diverged("the gradient is not finite")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        decay = min(self.options.ema_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.values()), [p.detach() for p in self.parameters.values()], 1 - decay)
        return {key: float(term.detach()) for key, term in terms.items()}

    def _diverged(self, what: str) -> UserError:
        return UserError(
            f"{self.folder}: {what} at step {self.step}: remove the folder and train again with a lower "
            f"learning_rate than {self.options.learning_rate}"
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

    def _record(self, rate: float, add_scalars: AddScalars) -> None:
        """Write the mean losses since the last row to the loss log and for TensorBoard."""
        means = {key: sum(values[key] for values in self._recent) / len(self._recent) for key in self._recent[0]}
        self._recent = []
        row = {"step": self.step, **{key: round(value, 5) for key, value in means.items()}}
        with (self.folder / LOSSES).open("a") as file:
            file.write(json.dumps({**row, "steps_per_second": round(rate, 3)}) + "\n")
        scalars = {f"loss/{key}": value for key, value in means.items()}
        add_scalars(self.step, {**scalars, "learning_rate": self.rate(self.step - 1), "steps_per_second": rate})

    def _save(self) -> None:
        """Write the checkpoint; a kill leaves the old one or the new one."""
        tensors = {f"weight/{key}": value.detach() for key, value in self.parameters.items()}
        tensors |= {f"average/{key}": value for key, value in self.average.items()}
        for key, value in self.parameters.items():
            state = self.optimizer.state[value]
            tensors |= {f"{name}/{key}": state[name] for name in ("exp_avg", "exp_avg_sq", "step")}
        tensors = {key: value.contiguous().cpu() for key, value in tensors.items()}
        with written_whole(self.folder / CHECKPOINT) as scratch:
            save_file(tensors, scratch, metadata={"recent": json.dumps(self._recent)})

    @torch.no_grad()
    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        if path.exists():
            self._load(path)
        self._truncate_log()

    def _load(self, path: Path) -> None:
        with safe_open(path, framework="pt", device=str(self.device)) as content:
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - no mapping
            self._recent = json.loads((content.metadata() or {}).get("recent", "[]"))
        for key, value in self.parameters.items():
            if f"weight/{key}" not in tensors or tensors[f"weight/{key}"].shape != value.shape:
                raise UserError(
                    f"{path}: no {key!r} of this shape: it is of another model; remove the file to start again"
                )
            value.copy_(tensors[f"weight/{key}"])
            self.average[key].copy_(tensors[f"average/{key}"])
            self.optimizer.state[value] = {name: tensors[f"{name}/{key}"] for name in ("exp_avg", "exp_avg_sq", "step")}
        self.step = int(tensors[f"step/{next(iter(self.parameters))}"].item())

    def _truncate_log(self) -> None:
        """Drop loss rows after the checkpoint, because their steps are repeated, and a row that a kill cut in half."""
        path = self.folder / LOSSES
        if path.exists():
            whole = [row for row in path.read_text().splitlines() if row.endswith("}")]
            write_whole(path, "".join(row + "\n" for row in whole if json.loads(row)["step"] <= self.step))


def step_generator(seed: int, step: int) -> tuple[np.random.Generator, int]:
    """The generator of the random choices of a step, and the seed of torch's in it."""
    generator = np.random.default_rng((seed, step))
    return generator, int(generator.integers(2**62))


def log_uniform_int(generator: np.random.Generator, low: int, high: int) -> int:
    """A whole number in `low..high`, its logarithm uniform."""
    return min(high, int(math.exp(generator.uniform(math.log(low), math.log(high + 1)))))
