"""Units one after the other, in this process."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from typing import TypeVar

from pipeline.engine.errors import DeviceFault, UnitFailed
from pipeline.engine.stage import UnitTask
from pipeline.engine.unit import WorkUnit
from pipeline.engine.worker import Worker, torch_threads_restored

R = TypeVar("R")


class SerialExecutor:
    """Runs units in plan order; for debugging, and for machines without Ray."""

    def map(self, task: UnitTask[R], units: Sequence[WorkUnit]) -> Generator[tuple[WorkUnit, R], None, None]:
        """Each unit with its result, in plan order; see Executor."""
        worker = Worker(task, task.resources.threads or os.cpu_count() or 1)
        with torch_threads_restored():
            for unit in units:
                try:
                    result = worker.run(unit)
                except DeviceFault as error:
                    raise UnitFailed(unit.shard, f"the device is lost: {error}", "") from error
                yield unit, result
