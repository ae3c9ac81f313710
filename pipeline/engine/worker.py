"""What runs in a worker, the same in every executor."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from augment.errors import UserError
from pipeline.engine.errors import DeviceFault, UnitFailed
from pipeline.engine.stage import UnitTask
from pipeline.engine.unit import WorkUnit

R = TypeVar("R")


class Worker(Generic[R]):
    """Sets a task up before its first unit, then runs units with a fixed number of torch threads."""

    def __init__(self, task: UnitTask[R], threads: int) -> None:
        self._task = task
        self._threads = threads
        self._ready = False

    def run(self, unit: WorkUnit) -> R:
        """The result of the unit; raises UserError, DeviceFault or, for any other error, UnitFailed."""
        try:
            if not self._ready:
                set_torch_threads(self._threads)
                self._task.setup()
                self._ready = True
            # Again, because set-up is where torch is usually imported.
            set_torch_threads(self._threads)
            return self._task.run(unit)
        except (UserError, DeviceFault):
            raise
        except Exception as error:
            doing = "" if self._ready else f"setting up {self._task.name}: "
            reason = f"{doing}{type(error).__name__}: {error}"
            raise UnitFailed(unit.shard, reason, traceback.format_exc()) from error


def set_torch_threads(threads: int) -> None:
    """Limit torch, if it is loaded, to this many threads; a stage without torch does not pay for it."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


@contextmanager
def torch_threads_restored() -> Iterator[None]:
    """Give the process its own number of torch threads back on leaving."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    try:
        yield
    finally:
        if torch and before:
            torch.set_num_threads(before)
