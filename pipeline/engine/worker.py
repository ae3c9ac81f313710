"""What runs in a worker, the same in every executor."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from augment.errors import PeerLost, UserError
from pipeline.engine.errors import DeviceFault, UnitFailed, is_device_fault
from pipeline.engine.memory import does_not_fit, is_out_of_memory
from pipeline.engine.stage import OnUnitStep, Resources, TrainingTask, UnitTask, WorkUnit

R = TypeVar("R")

# Environment of every process that computes, read when torch is loaded: threads that wait for each other sleep. Threads
# that spin are slow where other processes use their cores. A user's own setting has priority.
THREADING = {"OMP_WAIT_POLICY": "PASSIVE"}

_SAMPLE_SECONDS = 0.25
# Of the times that the kernel counts for all cores: idle, and waiting for a disk.
_IDLE = slice(3, 5)


class Worker(Generic[R]):
    """Sets a task up before its first unit, then runs units with a fixed number of torch threads."""

    def __init__(self, task: UnitTask[R], threads: int) -> None:
        self._task = task
        self._threads = threads
        self._setting_up = threading.Lock()
        self._ready = False
        self._broken: UserError | UnitFailed | None = None

    def set_up(self, unit: WorkUnit, watched: AbstractContextManager[None]) -> bool:
        """Set the task up for this first unit, once and inside ``watched``; returns whether this call did it.

        Raises what the set-up raised, again for every further unit.
        """
        with self._setting_up:
            if self._broken is not None:
                raise self._broken
            if self._ready:
                return False
            set_torch_threads(self._threads)
            try:
                with watched:
                    self._task.setup()
            except UserError as error:
                self._broken = error
                raise
            except Exception as error:
                if is_out_of_memory(error):
                    self._broken = does_not_fit(self._task.name, "its model", error, batched=False)
                    raise self._broken from error
                reason = f"setting up {self._task.name}: {type(error).__name__}: {error}"
                self._broken = UnitFailed(unit.shard, reason, traceback.format_exc())
                raise self._broken from error
            self._ready = True
            return True

    def run(self, unit: WorkUnit) -> R:
        """The result of the unit; raises UserError, DeviceFault, PeerLost or, for any other error, UnitFailed."""
        # Here too, because set-up usually imports torch, and because each thread has its own setting.
        set_torch_threads(self._threads)
        try:
            return self._task.run(unit)
        except (UserError, DeviceFault, PeerLost, UnitFailed):
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise does_not_fit(self._task.name, "its work", error) from error
            if is_device_fault(error):
                raise DeviceFault(str(error)) from error
            raise UnitFailed(unit.shard, f"{type(error).__name__}: {error}", traceback.format_exc()) from error


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


def set_torch_threads(threads: int) -> None:
    """Limit torch, if it is loaded, to this many threads; a stage without torch does not load it."""
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


def free_cores(seconds: float = _SAMPLE_SECONDS) -> int:
    """Cores of this machine that are idle over a moment, at least 1; all of them where the system gives no figures.

    The threads of a computation wait for each other at every step, so one without a core of its own delays all.
    """
    cores = os.cpu_count() or 1
    before = _core_times()
    if before is None:
        return cores
    time.sleep(seconds)
    after = _core_times()
    assert after is not None
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return max(1, min(cores, round(cores * sum(spent[_IDLE]) / max(1, sum(spent)))))


def _core_times() -> list[int] | None:
    """User, nice, system, idle, waiting, interrupts and stolen time of all cores, in ticks; None on other systems."""
    path = Path("/proc/stat")
    return [int(ticks) for ticks in path.read_text().splitlines()[0].split()[1:9]] if path.is_file() else None
