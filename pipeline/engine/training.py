"""What a training is to the engine: a long task that reports its steps and takes itself up again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeAlias, TypeVar

from augment.progress import OnStep, TrainingStep
from pipeline.engine.stage import Resources
from pipeline.engine.unit import WorkUnit

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class TrainingTask(Protocol[R_co]):
    """What an executor trains for each unit. It is pickled to the workers, and its small result back."""

    @property
    def name(self) -> str:
        """The stage, as the user knows it."""

    @property
    def resources(self) -> Resources:
        """What one training takes; a training hangs where ``unit_timeout`` seconds bring no step."""

    def setup(self) -> None:
        """Called once in each worker, before the unit."""

    def train(self, unit: WorkUnit, on_step: OnStep) -> R_co:
        """Train the unit, and call ``on_step`` after every step.

        Called again for the same unit where a worker was lost: it goes on from the last checkpoint then.
        """


OnUnitStep: TypeAlias = Callable[[WorkUnit, TrainingStep], None]


@dataclass
class ReportedTraining(Generic[R]):
    """A training as a task for a worker; its steps go to ``on_step``."""

    task: TrainingTask[R]
    on_step: OnUnitStep

    @property
    def name(self) -> str:
        """The stage, as the user knows it."""
        return self.task.name

    @property
    def resources(self) -> Resources:
        """What one training takes."""
        return self.task.resources

    def setup(self) -> None:
        """Set the training up."""
        self.task.setup()

    def run(self, unit: WorkUnit) -> R:
        """Train the unit."""
        return self.task.train(unit, partial(self.on_step, unit))
