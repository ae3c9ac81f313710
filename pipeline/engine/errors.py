"""How a run ends early: failures, and how many bad samples it accepts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn, TypeAlias, TypeVar

from pydantic import Field

from augment.options import Options
from pipeline.engine.stage import WorkUnit

R = TypeVar("R")


class RunFailed(Exception):  # noqa: N818 - it says what happened
    """The run stopped before its plan was done; what is committed stays, and a new run goes on from there."""


class UnitFailed(RunFailed):
    """A work unit, or the set-up of its worker, raised; ``traceback`` is that of the worker."""

    def __init__(self, shard: str, reason: str, traceback: str) -> None:
        super().__init__(shard, reason, traceback)
        self.shard = shard
        self.reason = reason
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.shard}: {self.reason}"


GiveUp: TypeAlias = Callable[[WorkUnit, str, str], R]


def raise_at_fault(unit: WorkUnit, reason: str, traceback: str) -> NoReturn:
    """Give a unit up by ending the run."""
    raise UnitFailed(unit.shard, reason, traceback)


class DeviceFault(Exception):  # noqa: N818 - it says what happened
    """The accelerator of this process is lost to it; the unit must run again in a fresh process."""


def is_device_fault(error: BaseException) -> bool:
    """Whether CUDA reports an error that outlives the call; running out of memory is not one."""
    text = str(error)
    return "CUDA error" in text and "out of memory" not in text


class ErrorBudget(Options):
    """How many bad samples a stage may meet before the run stops."""

    rate: float = Field(default=0.01, ge=0, le=1, description="share of the samples")
    minimum: int = Field(default=10, ge=0, description="failures that are always allowed")

    def allowed(self, samples: int) -> int:
        """The failures allowed among this many samples."""
        return max(self.minimum, int(self.rate * samples))

    def __str__(self) -> str:
        return f"{self.rate:.3g} of the samples, at least {self.minimum}"


def top_reasons(reasons: Mapping[str, int], limit: int = 3) -> str:
    """The commonest reasons with their counts, commonest first, in one line."""
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    text = ", ".join(f"{count} x {reason}" for reason, count in ordered[:limit])
    return text + (f", and {len(ordered) - limit} more kinds" if len(ordered) > limit else "")
