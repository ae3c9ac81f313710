"""Trainings that several workers take together, each with one trait."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from augment.errors import UserError
from augment.lumen.options import AdaptOptions
from augment.lumen.training.group import Group
from augment.lumen.training.trainer import Part, Trainer
from augment.progress import OnStep
from pipeline.engine import Resources, WorkUnit

OPTIONS = AdaptOptions(
    steps=8, batch_size=5, learning_rate=0.05, warmup_steps=2, checkpoint_every=2, log_every=1, sample_every=3
)


@dataclass(frozen=True)
class Regression:
    """Trains a small network on random points, and returns its weights and the number of workers."""

    folder: str
    resources: Resources = field(default_factory=lambda: Resources(workers=2))
    options: AdaptOptions = OPTIONS
    name: str = "adapt"

    @property
    def most_workers(self) -> int:
        return self.options.batch_size

    def setup(self) -> None:
        """Nothing to load."""

    def train(self, unit: WorkUnit, on_step: OnStep) -> tuple[dict[str, list[float]], int]:  # noqa: ARG002
        group = Group.current()
        # The others get the weights of rank 0.
        torch.manual_seed(group.rank)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        rows = group.rows(self.options.batch_size)

        def parts(step: int, generator: np.random.Generator) -> list[Part]:
            self.before(group, step)
            points = torch.from_numpy(generator.normal(size=(self.options.batch_size, 3))).float()
            targets = points.sum(dim=1) + 0.1 * torch.randn(len(points))

            def loss(row: int) -> dict[str, torch.Tensor]:
                return {"error": (model(points[row])[0] - targets[row]).square()}

            return [Part(1 / len(points), partial(loss, row)) for row in rows]

        trainer = Trainer({"model": model}, self.options, Path(self.folder), torch.device("cpu"), "fp32", group=group)

        def sample(_step: int) -> dict[str, float]:
            # What each worker has of the averaged weights.
            means = torch.zeros(group.size, dtype=torch.float64)
            means[group.rank] = torch.cat([value.flatten() for value in model.parameters()]).double().mean()
            found = group.add(means).tolist()
            return {"validation/mean": found[0], "validation/spread": max(found) - min(found)}

        trainer.run(parts, on_step, sample)
        return {name: value.flatten().tolist() for name, value in model.state_dict().items()}, group.size

    def before(self, group: Group, step: int) -> None:
        """What goes wrong before a step."""


class LosesItsLeader(Regression):
    def before(self, group: Group, step: int) -> None:
        died = Path(f"{self.folder}-died")
        if step == 3 and group.leads and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)


class FollowerRefuses(Regression):
    def before(self, group: Group, step: int) -> None:
        if step == 2 and not group.leads:
            raise UserError("image 7 is damaged")
