"""How far a training is, for whoever watches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class TrainingStep:
    """A step that a training has taken.

    Attributes:
        step, total: steps taken, and of the whole training.
        losses: name -> value of this step; empty where the step has none, as in a validation.
        rate: steps a second since this process took the training up.
        phase: what is trained or done, where a training has several parts; empty where it has one.
    """

    step: int
    total: int
    losses: Mapping[str, float]
    rate: float
    phase: str = ""

    @property
    def is_last(self) -> bool:
        """Whether no step of this phase is left."""
        return self.step >= self.total

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the rest of the phase takes at this rate; None where no rate is known yet."""
        return (self.total - self.step) / self.rate if self.rate > 0 else None


OnStep: TypeAlias = Callable[[TrainingStep], None]


def ignore_step(_step: TrainingStep) -> None:
    """Watch nothing."""
