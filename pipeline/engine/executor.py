"""How units are run: here, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Literal, Protocol, TypeAlias, TypeVar

from augment.errors import UserError
from pipeline.engine.errors import GiveUp, raise_at_fault
from pipeline.engine.serial import SerialExecutor
from pipeline.engine.stage import OnUnitStep, TrainingTask, UnitTask, WorkUnit

R = TypeVar("R")
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
        faster than can be shown. No limit but ``unit_timeout``, from step to step, says how long a training may take,
        and none how long it may wait for room. A training that is lost or hangs goes on from its last checkpoint in a
        new worker; one that does so again and again without a further step raises UnitFailed. Otherwise as ``map``.
        """


def make_executor(kind: ExecutorKind, cluster: str | None = None, report: Callable[[str], None] = print) -> Executor:
    """The executor; ``cluster`` is a Ray address, or None for RAY_ADDRESS or else a local cluster.

    ``report`` takes a line for what Ray has to wait for, and those that workers have for the user.
    """
    if kind == "serial":
        return SerialExecutor(report)
    if kind == "ray":
        # Ray takes seconds to import, and a serial run has no need of it.
        from pipeline.engine.ray_executor import RayExecutor

        return RayExecutor(cluster, report=report)
    raise UserError(f'executor: {kind!r} is neither "serial" nor "ray"')
