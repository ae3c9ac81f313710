"""Units one after the other, in this process."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Generator, Sequence
from typing import TypeVar

from pipeline.engine.errors import DeviceFault, GiveUp, UnitFailed, raise_at_fault
from pipeline.engine.remarks import taken_remarks
from pipeline.engine.stage import UnitTask
from pipeline.engine.unit import WorkUnit
from pipeline.engine.watchdog import Watchdog
from pipeline.engine.worker import Worker, torch_threads_restored

R = TypeVar("R")
LOG = logging.getLogger(__name__)


class SerialExecutor:
    """Runs units in plan order, one at a time; for debugging, and for machines without Ray.

    It has no process to spare, so of a unit or a set-up that takes longer than its timeout it can only tell.
    ``report`` takes what the task has for the user.
    """

    def __init__(self, report: Callable[[str], None] = print) -> None:
        self._report = report

    def map(
        self,
        task: UnitTask[R],
        units: Sequence[WorkUnit],
        at_fault: GiveUp[R] = raise_at_fault,  # noqa: ARG002 - no unit can be taken from this process
    ) -> Generator[tuple[WorkUnit, R], None, None]:
        """Each unit with its result, in plan order; see Executor."""
        worker = Worker(task, task.resources.threads or os.cpu_count() or 1)
        unit_timeout, setup_timeout = task.resources.unit_timeout, task.resources.setup_timeout

        def tell(what: str, timeout: float | None, stacks: str) -> None:
            LOG.warning("%s: not done after %g s; a serial run waits for it\n%s", what, timeout, stacks)

        def tell_of_unit(indexes: Collection[int], stacks: str) -> None:
            tell(", ".join(units[index].shard for index in indexes), unit_timeout, stacks)

        def tell_of_setup(_indexes: Collection[int], stacks: str) -> None:
            tell(f"setting up {task.name}", setup_timeout, stacks)

        watchdog, setup_watchdog = Watchdog(unit_timeout, tell_of_unit), Watchdog(setup_timeout, tell_of_setup)
        # Those of a run that was closed early are of no interest any more.
        taken_remarks()
        with torch_threads_restored():
            for index, unit in enumerate(units):
                try:
                    worker.set_up(unit, setup_watchdog.watching(index))
                    with watchdog.watching(index):
                        result = worker.run(unit)
                except DeviceFault as error:
                    raise UnitFailed(unit.shard, f"the device is lost: {error}", "") from error
                finally:
                    for line in taken_remarks():
                        self._report(line)
                yield unit, result
