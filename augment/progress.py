"""Progress of a training, or of another long computation, step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class TrainingStep:
    """One step of a training or of another long computation, done.

    Attributes:
        step, total: steps done, and steps of the whole training.
        losses: name -> value of this step; empty for a step without losses, as in validation.
        rate: steps per second since this process started or resumed the training.
        phase: the part of the training; empty if it has only one.
        noun: what a step is called, in the singular.
    """

    step: int
    total: int
    losses: Mapping[str, float]
    rate: float
    phase: str = ""
    noun: str = "step"

    @property
    def is_last(self) -> bool:
        """Whether no step of this phase is left."""
        return self.step >= self.total

    @property
    def seconds_left(self) -> float | None:
        """Seconds left in the phase at this rate; None while the rate is unknown."""
        return (self.total - self.step) / self.rate if self.rate > 0 else None


OnStep: TypeAlias = Callable[[TrainingStep], None]


def ignore_step(_step: TrainingStep) -> None:
    """Ignore the step."""
