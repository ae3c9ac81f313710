"""The training loop of autoencoder, base model and adapter."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from augment.errors import UserError
from augment.files import write_whole
from augment.lumen.options import COOLDOWN, OptimizerName
from augment.lumen.training.average import WeightAverage
from augment.lumen.training.checkpoint import Checkpoint, Folder
from augment.lumen.training.claim import Claim
from augment.lumen.training.group import GradientSum, Group
from augment.lumen.training.optimizers import new_optimizer, optimizer_state, set_optimizer_state
from augment.progress import TrainingStep
from augment.scalars import scalar_writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from augment.lumen.options import TrainerOptions
    from augment.progress import OnStep
    from augment.trackers import AddScalars

    Sample: TypeAlias = Callable[[int], Mapping[str, float] | None]
    Terms: TypeAlias = Mapping[str, Tensor]
    Losses: TypeAlias = Callable[[int, np.random.Generator], Terms | Sequence["Part"]]

LOSSES = "loss.jsonl"


@dataclass(frozen=True)
class Part:
    """The samples of a step that go through the model together.

    Attributes:
        share: of the whole batch, above 0 and at most 1; those of all parts of all processes add up to 1.
        losses: gives the means of the named losses over these samples.
    """

    share: float
    losses: Callable[[], Terms]


class Trainer:
    """Trains modules under AdamW, with an average of the weights, checkpoints, a loss log and exact resume.

    All randomness of a step comes from a generator seeded by (seed, step), so that a run that was killed and
    resumed takes the same steps as one that was not.

    Several processes may train together: each takes its part of every batch, and the gradients are added. Rank 0
    alone keeps checkpoint, average and logs, and gives the others what it resumes from; so they may also go on from the
    checkpoint of another number of processes. Then, and with a batch in several parts, results are the same but for the
    order of sums.

    Args:
        modules: name -> module; parameters that require gradients are trained.
        options: length and speed.
        folder: where the loss log is kept.
        device: of the modules.
        precision: `bf16` runs the forward pass under autocast, `fp32` does not.
        seed: seed of the steps.
        cooldown: share of the steps, 0..1, over which the rate falls linearly to 0 at the end.
        group: the processes that train together.
        checkpoint: where the checkpoint is kept; None is in the folder.
        optimizer: see `new_optimizer`.
        average_every: see `WeightAverage`.

    Raises:
        UserError: there is a checkpoint of another model, or the optimizer's package is not installed.
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
        *,
        group: Group = Group(),  # noqa: B008 - it is frozen
        checkpoint: Checkpoint | None = None,
        optimizer: OptimizerName = "adamw",
        average_every: int = 1,
    ) -> None:
        self.options, self.folder, self.device, self.group = options, folder, device, group
        self.precision, self.seed, self.cooldown = precision, seed, cooldown
        self.parameters = {
            f"{name}.{key}": value
            for name, module in modules.items()
            for key, value in module.named_parameters()
            if value.requires_grad
        }
        self.optimizer = new_optimizer(optimizer, self.parameters.values(), options.learning_rate)
        self.average = WeightAverage(self.parameters, options.ema_decay, average_every) if group.leads else None
        self.checkpoint = checkpoint or Checkpoint(Folder(folder))
        self.step = 0
        # Losses since the last row of the log.
        self._recent: list[dict[str, float]] = []
        if group.leads:
            folder.mkdir(parents=True, exist_ok=True)
            self._claim = Claim(folder)
            self.checkpoint.sweep()
            self._resume()
            self._truncate_log()
        self._follow()
        self._sum = GradientSum(group, list(self.parameters.values())) if group.size > 1 else None

    def run(self, losses: Losses, on_step: OnStep, sample: Sample | None = None) -> None:
        """Take the remaining steps, then load the averaged weights into the modules of rank 0.

        Args:
            losses: (step, generator) -> named scalar losses, whose sum is minimised; or the parts of the batch that
                this process takes, at least one, each with such losses.
            on_step: called after every step, with the losses of that step.
            sample: called by every process every `sample_every` steps and at the end, while all of them hold the
                averaged weights; may return scalars, and those of rank 0 are logged.

        Raises:
            UserError: the loss or its gradient is not finite.
            PeerLost: another process of the group has ended.
        """
        if self.average is None:
            self._run(losses, on_step, sample)
            return
        with scalar_writer(self.folder, self.step, self.options.trackers) as add_scalars:
            self._run(losses, on_step, sample, add_scalars)
        self.checkpoint.wait()
        self._claim.release()
        self.average.swap()

    def rate(self, step: int) -> float:
        """Learning rate of `step`."""
        options = self.options
        warm = min(1.0, (step + 1) / max(1, options.warmup_steps))
        cool = min(1.0, (options.steps - step) / max(1.0, self.cooldown * options.steps))
        return options.learning_rate * warm * cool

    def _run(
        self, losses: Losses, on_step: OnStep, sample: Sample | None = None, add_scalars: AddScalars | None = None
    ) -> None:
        options = self.options
        started, first = time.monotonic(), self.step
        saved = started
        while self.step < options.steps:
            found = self._take_step(losses)
            rate = (self.step - first) / (time.monotonic() - started)
            last = self.step == options.steps
            if self.average is not None:
                self._recent.append(found)
                self.average.update(self.step, last=last)
            on_step(TrainingStep(self.step, options.steps, found, rate))
            if add_scalars is not None and (self.step % options.log_every == 0 or last):
                self._record(rate, add_scalars)
            # Before the checkpoint: a run that is killed in between measures the same again.
            if sample and (self.step % options.sample_every == 0 or last):
                with self._averaged():
                    scalars = sample(self.step)
                if add_scalars is not None:
                    self._record_scalars(scalars, add_scalars)
            if add_scalars is None:
                continue
            overdue = time.monotonic() - saved > 60 * options.checkpoint_minutes
            if self.step % options.checkpoint_every == 0 or overdue or last:
                self._save()
                saved = time.monotonic()

    def _take_step(self, losses: Losses) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(self.step)
        generator, torch_seed = step_generator(self.seed, self.step)
        torch.manual_seed(torch_seed)
        names, values = self._gradients(losses, generator)
        # A finite loss may have a gradient that is not, which would make every weight NaN.
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        # In one transfer, as each waits for the device.
        *found, length = torch.cat([self.group.add(values), norm.detach().double()[None]]).tolist()
        if not math.isfinite(sum(found)):
            raise self._diverged(f"the loss is {sum(found)}")
        if not math.isfinite(length):
            raise self._diverged("the gradient is not finite")
        self.optimizer.step()
        if self._sum is None:
            self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return dict(zip(names, found, strict=True))

    def _gradients(self, losses: Losses, generator: np.random.Generator) -> tuple[list[str], Tensor]:
        """Leave the gradients of the whole batch in the parameters.

        Returns:
            The names of the losses, and `float64` values of the samples of this process.
        """
        names: list[str] = []
        values = torch.zeros((), dtype=torch.float64, device=self.device)
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
        with autocast:
            found = losses(self.step, generator)
        parts = [Part(1.0, lambda: found)] if isinstance(found, Mapping) else found
        if self._sum is not None:
            self._sum.begin()
        for number, part in enumerate(parts, 1):
            with autocast:
                terms = part.losses()
            names = list(terms)
            stacked = torch.stack([term.float() for term in terms.values()])
            values = values + part.share * stacked.detach().double()
            if self._sum is not None and number == len(parts):
                self._sum.arm()
            (part.share * stacked.sum()).backward()
        if self._sum is not None:
            self._sum.finish()
        return names, values

    def _diverged(self, what: str) -> UserError:
        return UserError(
            f"{self.folder}: {what} at step {self.step}: remove the folder and train again with a lower "
            f"learning_rate than {self.options.learning_rate}"
        )

    @contextmanager
    @torch.no_grad()
    def _averaged(self) -> Iterator[None]:
        """The averaged weights of rank 0 in the modules of every process, without gradients."""
        weights = [value.detach() for value in self.parameters.values()]
        # In host memory, where rank 0 has the average.
        own = [weight.to("cpu", copy=True) for weight in weights] if self.average is None else []
        if self.average is not None:
            self.average.swap()
        try:
            self.group.receive(weights)
            # The decorator of this generator does not reach the code that runs here.
            with torch.no_grad():
                yield
        finally:
            if self.average is not None:
                self.average.swap()
            for weight, value in zip(weights, own, strict=False):
                weight.copy_(value)

    def _record(self, rate: float, add_scalars: AddScalars) -> None:
        """Write the mean losses since the last row to the loss log and for TensorBoard."""
        means = {key: sum(values[key] for values in self._recent) / len(self._recent) for key in self._recent[0]}
        self._recent = []
        rounded = {key: round(value, 5) for key, value in means.items()}
        self._write_row({**rounded, "steps_per_second": round(rate, 3)})
        scalars = {f"loss/{key}": value for key, value in means.items()}
        add_scalars(self.step, {**scalars, "learning_rate": self.rate(self.step - 1), "steps_per_second": rate})

    def _record_scalars(self, scalars: Mapping[str, float] | None, add_scalars: AddScalars) -> None:
        """Write a row of its own to the loss log, and for TensorBoard."""
        if scalars:
            self._write_row({key: round(value, 6) for key, value in scalars.items()})
            add_scalars(self.step, scalars)

    def _write_row(self, values: Mapping[str, float]) -> None:
        self._claim.require()
        with (self.folder / LOSSES).open("a") as file:
            file.write(json.dumps({"step": self.step, **values}) + "\n")

    def _save(self) -> None:
        """Begin to write the checkpoint."""
        assert self.average is not None
        self._claim.require()
        self.average.wait()
        tensors: dict[str, Tensor] = {f"weight/{key}": value for key, value in self.parameters.items()}
        tensors |= {f"average/{key}": value for key, value in self.average.values.items()}
        tensors |= optimizer_state(self.optimizer, self.parameters)
        self.checkpoint.save(tensors, {"step": self.step, "recent": self._recent})

    @torch.no_grad()
    def _resume(self) -> None:
        """Go on from the checkpoint, if there is one."""
        if not self.checkpoint.exists():
            return
        assert self.average is not None
        tensors, facts = self.checkpoint.load()
        for key, value in self.parameters.items():
            if f"weight/{key}" not in tensors or tensors[f"weight/{key}"].shape != value.shape:
                raise UserError(
                    f"{self.folder}: its checkpoint has no {key!r} of this shape: it is of another model; remove "
                    "the folder to start again"
                )
            value.copy_(tensors.pop(f"weight/{key}"))
        average = {key: tensors.pop(f"average/{key}") for key in self.parameters}
        set_optimizer_state(self.optimizer, self.parameters, tensors)
        # Earlier versions keep the step with the optimizer alone.
        self.step = int(facts.get("step", tensors.get(f"step/{next(iter(self.parameters))}", torch.zeros(()))))
        self._recent = list(facts["recent"])
        self.average.resume(self.step, average)

    @torch.no_grad()
    def _follow(self) -> None:
        """Take over step, weights and state of the optimizer from rank 0."""
        group = self.group
        if group.size == 1:
            return
        state = optimizer_state(self.optimizer, self.parameters) if group.leads else {}
        shapes = {key: (tuple(value.shape), value.dtype) for key, value in state.items()}
        self.step, shapes = group.share((self.step, shapes))
        state = {
            key: state[key].to(self.device) if group.leads else torch.empty(shape, dtype=dtype, device=self.device)
            for key, (shape, dtype) in shapes.items()
        }
        group.receive([value.detach() for value in self.parameters.values()])
        group.receive(state.values())
        if not group.leads:
            set_optimizer_state(self.optimizer, self.parameters, state)

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
