"""How a run ends early."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, TypeAlias, TypeVar

from pipeline.engine.unit import WorkUnit

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
