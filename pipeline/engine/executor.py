"""How units are run: one after the other in this process, or on a Ray cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Generator, Sequence
from typing import Literal, Protocol, TypeAlias, TypeVar

from augment.errors import UserError
from augment.progress import TrainingStep
from pipeline.engine.errors import DeviceFault, GiveUp, UnitFailed, raise_at_fault
from pipeline.engine.faults import Watchdog
from pipeline.engine.progress import take_remarks
from pipeline.engine.stage import OnUnitStep, TrainingTask, UnitTask, WorkUnit
from pipeline.engine.worker import ReportedTraining, Worker, free_cores, torch_threads_restored

R = TypeVar("R")
LOG = logging.getLogger(__name__)

ExecutorKind: TypeAlias = Literal["ray", "serial"]


class Executor(Protocol):
    """Runs a task over units."""

    def map(
        self, task: UnitTask[R], units: Sequence[WorkUnit], at_fault: GiveUp[R] = raise_at_fault
    ) -> Generator[tuple[WorkUnit, R], None, None]:
        """Each unit with its result, as they complete, each exactly once.

        ``at_fault`` gives the result of a unit that hangs or takes every worker down, from its reason and traceback.

        Closing the generator stops the run. Raises UserError where the task does or where the task does not
        fit, UnitFailed for any other error of a unit or of ``setup``. A worker that is lost is replaced and
        its unit run again.
        """

    def train(
        self, task: TrainingTask[R], units: Sequence[WorkUnit], on_step: OnUnitStep
    ) -> Generator[tuple[WorkUnit, R], None, None]:
        """Each unit with the result of its training, as they complete, each exactly once.

        ``on_step`` is called in this process with the steps of each training, or with the latest where they come
        faster than can be shown. A training may take any time, and wait any time for room; only ``unit_timeout``
        limits the time between two steps. A training that is lost or hangs goes on from its last checkpoint in a
        new worker; one that does so again and again without a further step raises UnitFailed. Otherwise as ``map``.
        """


def make_executor(kind: ExecutorKind, cluster: str | None = None, report: Callable[[str], None] = print) -> Executor:
    """The executor; ``cluster`` is a Ray address, or None for RAY_ADDRESS or else a local cluster.

    ``report`` takes a line when the run waits for Ray, and the lines that workers have for the user.
    """
    if kind == "serial":
        return SerialExecutor(report)
    if kind == "ray":
        # Ray takes seconds to import, and a serial run does not need it.
        from pipeline.engine.ray_executor import RayExecutor

        return RayExecutor(cluster, report=report)
    raise UserError(f'executor: {kind!r} is neither "serial" nor "ray"')


class SerialExecutor:
    """Runs units in plan order, one at a time; for debugging, and for machines without Ray.

    It cannot end a unit or a set-up that takes longer than its timeout, so it only warns. ``report`` takes the
    lines that a task has for the user.
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
        return self._run(task, units, _unit_watchdog(task, units))

    def train(
        self, task: TrainingTask[R], units: Sequence[WorkUnit], on_step: OnUnitStep
    ) -> Generator[tuple[WorkUnit, R], None, None]:
        """Each unit with its result, in plan order; see Executor."""

        def report(unit: WorkUnit, step: TrainingStep) -> None:
            watchdog.advance()
            on_step(unit, step)

        reported = ReportedTraining(task, report)
        watchdog = _unit_watchdog(reported, units)
        return self._run(reported, units, watchdog)

    def _run(
        self, task: UnitTask[R], units: Sequence[WorkUnit], watchdog: Watchdog
    ) -> Generator[tuple[WorkUnit, R], None, None]:
        worker = Worker(task, task.resources.threads or free_cores())
        setup_timeout = task.resources.setup_timeout

        def warn_of_setup(_indexes: Collection[int], stacks: str) -> None:
            _warn(f"setting up {task.name}: not done after {setup_timeout:g} s", stacks)

        setup_watchdog = Watchdog(setup_timeout, warn_of_setup)
        # An earlier run that was closed early may have left some.
        take_remarks()
        with torch_threads_restored():
            for index, unit in enumerate(units):
                try:
                    worker.set_up(unit, setup_watchdog.watching(index))
                    with watchdog.watching(index):
                        result = worker.run(unit)
                except DeviceFault as error:
                    raise UnitFailed(unit.shard, f"the device is lost: {error}", "") from error
                finally:
                    for line in take_remarks():
                        self._report(line)
                yield unit, result


def _unit_watchdog(task: UnitTask[R], units: Sequence[WorkUnit]) -> Watchdog:
    """A watchdog that warns of units that take longer than their timeout."""
    timeout = task.resources.unit_timeout

    def warn_of_units(indexes: Collection[int], stacks: str) -> None:
        _warn(f"{', '.join(units[index].shard for index in indexes)}: not done after {timeout:g} s", stacks)

    return Watchdog(timeout, warn_of_units)


def _warn(what: str, stacks: str) -> None:
    LOG.warning("%s; a serial run waits for it\n%s", what, stacks)
