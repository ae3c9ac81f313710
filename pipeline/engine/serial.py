"""Units one after the other, in this process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Generator, Sequence
from typing import TypeVar

from augment.progress import TrainingStep
from pipeline.engine.cores import free_cores
from pipeline.engine.errors import DeviceFault, GiveUp, UnitFailed, raise_at_fault
from pipeline.engine.remarks import taken_remarks
from pipeline.engine.stage import OnUnitStep, TrainingTask, UnitTask, WorkUnit
from pipeline.engine.watchdog import Watchdog
from pipeline.engine.worker import ReportedTraining, Worker, torch_threads_restored

R = TypeVar("R")
LOG = logging.getLogger(__name__)


class SerialExecutor:
    """Runs units in plan order, one at a time; for debugging, and for machines without Ray.

    It has no process to spare, so it can only warn of a unit or a set-up that takes longer than its timeout.
    ``report`` takes the lines that a task has for the user.
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
        return self._run(task, units, unit_watchdog(task, units))

    def train(
        self, task: TrainingTask[R], units: Sequence[WorkUnit], on_step: OnUnitStep
    ) -> Generator[tuple[WorkUnit, R], None, None]:
        """Each unit with its result, in plan order; see Executor."""

        def report(unit: WorkUnit, step: TrainingStep) -> None:
            watchdog.advance()
            on_step(unit, step)

        reported = ReportedTraining(task, report)
        watchdog = unit_watchdog(reported, units)
        return self._run(reported, units, watchdog)

    def _run(
        self, task: UnitTask[R], units: Sequence[WorkUnit], watchdog: Watchdog
    ) -> Generator[tuple[WorkUnit, R], None, None]:
        worker = Worker(task, task.resources.threads or free_cores())
        setup_timeout = task.resources.setup_timeout

        def warn_of_setup(_indexes: Collection[int], stacks: str) -> None:
            warn(f"setting up {task.name}: not done after {setup_timeout:g} s", stacks)

        setup_watchdog = Watchdog(setup_timeout, warn_of_setup)
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


def unit_watchdog(task: UnitTask[R], units: Sequence[WorkUnit]) -> Watchdog:
    """A watchdog that warns of units that take longer than their timeout."""
    timeout = task.resources.unit_timeout

    def warn_of_units(indexes: Collection[int], stacks: str) -> None:
        warn(f"{', '.join(units[index].shard for index in indexes)}: not done after {timeout:g} s", stacks)

    return Watchdog(timeout, warn_of_units)


def warn(what: str, stacks: str) -> None:
    LOG.warning("%s; a serial run waits for it\n%s", what, stacks)
