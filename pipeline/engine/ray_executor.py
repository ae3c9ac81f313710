"""Units on a Ray cluster, with Ray Data as the scheduler and nothing more."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Generator, Sequence
from typing import Any, TypeVar

import ray
import ray.data
from ray import cloudpickle
from ray.data import ActorPoolStrategy
from ray.exceptions import RayError

from augment.errors import UserError
from pipeline.engine.attempts import AtFault, Attempts, History
from pipeline.engine.errors import DeviceFault, GiveUp, RunFailed, UnitFailed, raise_at_fault
from pipeline.engine.lanes import Lanes
from pipeline.engine.metrics import StageMetrics
from pipeline.engine.plan import unit_blocks
from pipeline.engine.ray_cluster import connect, node_resources, pool_size, tell_shortage, threads_per_worker
from pipeline.engine.remarks import taken_remarks
from pipeline.engine.stage import Resources, UnitTask, units_at_once
from pipeline.engine.unit import WorkUnit
from pipeline.engine.watchdog import Watchdog
from pipeline.engine.worker import Worker

R = TypeVar("R")
LOG = logging.getLogger(__name__)

# One row a block gives results as they come; past this many blocks the scheduler is the bottleneck.
_MAX_BLOCKS = 4096
# How long a worker that hangs tries to say so before it ends.
_REPORT_SECONDS = 10.0


class RayExecutor:
    """Runs units on a pool of actors. Rows carry units and small results, never samples.

    A lost worker is replaced. A unit that takes its worker down ``max_attempts`` times, or hangs twice, is at fault
    itself. After a first loss a unit runs alone in its worker, so that no other unit is blamed for it. ``report``
    takes a line where the cluster or room on it has to be waited for, and those that workers have for the user.
    """

    def __init__(
        self, cluster: str | None = None, max_attempts: int = 5, report: Callable[[str], None] = print
    ) -> None:
        self._cluster = cluster
        self._report = report
        self._max_attempts = max_attempts
        self._attempts: Any = None
        self._runs = 0

    def map(
        self, task: UnitTask[R], units: Sequence[WorkUnit], at_fault: GiveUp[R] = raise_at_fault
    ) -> Generator[tuple[WorkUnit, R], None, None]:
        """Each unit with its result, as they complete; see Executor."""
        if not units:
            return
        connect(self._cluster, self._report)
        nodes = node_resources()
        workers = pool_size(task.name, task.resources, nodes, len(units))
        threads = threads_per_worker(task.resources, nodes, workers)
        tell_shortage(task.name, task.resources, self._report)
        _quiet()
        if self._attempts is None:
            counter = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Attempts)
            self._attempts = counter.remote(self._max_attempts)
        self._runs += 1
        metrics = StageMetrics(task.name, len(units))
        # One by one, so that of a million units no more than a block is held as JSON; Ray moves the others to disk.
        blocks = [ray.put(block) for block in unit_blocks(units, _MAX_BLOCKS)]
        results = ray.data.from_arrow_refs(blocks).map(
            _Actor,
            fn_constructor_args=(task, threads, self._attempts, self._runs),
            # The worker itself says which of its units may run at the same time.
            compute=ActorPoolStrategy(
                size=workers,
                max_concurrent_calls_per_actor=units_at_once(task),
                enable_true_multi_threading=True,
            ),
            num_cpus=task.resources.num_cpus,
            num_gpus=task.resources.num_gpus,
            runtime_env={"env_vars": _environment(task.resources, threads)},
        )
        said: set[str] = set()
        try:
            for row in results.iter_rows():
                # From this run's own actor, by Ray, which pickles tasks and arguments itself; nothing from a file.
                unit, result = units[row["index"]], cloudpickle.loads(row["result"])
                if row["lost"]:
                    LOG.warning("%s: run again, %d of its workers were lost before", unit.shard, row["lost"])
                # Workers meet the same, and it is worth saying once.
                for line in row["remarks"].splitlines():
                    if line not in said:
                        said.add(line)
                        self._report(line)
                if isinstance(result, UserError | UnitFailed):
                    raise result
                if isinstance(result, AtFault):
                    result = at_fault(unit, result.reason, result.traceback)
                metrics.add(result)
                yield unit, result
        except RayError as error:
            raise RunFailed(f"{task.name}: Ray gave up: {str(error).strip().splitlines()[0]}") from error


def _environment(resources: Resources, threads: int) -> dict[str, str]:
    """Environment of a worker; one that asks for no GPU sees none, or libraries would move there by themselves."""
    threaded = {"OMP_NUM_THREADS": str(threads)}
    return threaded if resources.num_gpus else {**threaded, "CUDA_VISIBLE_DEVICES": ""}


class _Actor:
    """The task in a Ray worker.

    Errors come back as results: an exception in a constructor or a row would make Ray Data restart the actor,
    or wrap the cause in pages of its own.
    """

    def __init__(self, task: UnitTask[Any], threads: int, attempts: Any, run: int) -> None:
        self._worker = Worker(task, threads)
        self._lanes = Lanes(units_at_once(task))
        # A worker is set up before its first unit runs, so that the two never watch at the same time.
        self._watchdog = Watchdog(task.resources.unit_timeout, self._hang, deadly=True)
        self._setup_watchdog = Watchdog(task.resources.setup_timeout, self._hang_in_setup, deadly=True)
        self._task = task
        self._attempts = attempts
        self._run = run

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        unit, index = WorkUnit.from_json(row["unit"]), row["index"]
        history: History = ray.get(self._attempts.history.remote(self._run, index))
        try:
            result = self._result(unit, index, history)
        except UserError as error:
            result = UserError(str(error))
        except UnitFailed as error:
            result = error
        except DeviceFault:
            # Only a new process gets a usable device; Ray starts one and runs the unit again.
            LOG.exception("the device is lost, leaving")
            os._exit(1)
        remarks = "\n".join(taken_remarks())
        return {"index": index, "lost": history.begun, "result": cloudpickle.dumps(result), "remarks": remarks}

    def _result(self, unit: WorkUnit, index: int, history: History) -> Any:
        if history.fault is not None:
            if history.in_setup:
                reason = f"setting up {self._task.name}: {history.fault.reason}"
                raise UnitFailed(unit.shard, reason, history.fault.traceback)
            return history.fault
        with self._lanes.entered(alone=history.begun > 0):
            # Counted here and not while it waits for a lane: whatever takes this worker down is in a lane.
            ray.get(self._attempts.begin.remote(self._run, index))
            if self._worker.set_up(unit, self._setup_watchdog.watching(index)):
                self._attempts.ready.remote(self._run)
            with self._watchdog.watching(index):
                result = self._worker.run(unit)
            self._attempts.end.remote(self._run, index)
            return result

    def _hang(self, units: Collection[int], stacks: str) -> None:
        reason = f"hung: no unit of its worker came to an end within {self._task.resources.unit_timeout:g} s"
        self._leave(reason, stacks, self._attempts.hang.remote(self._run, units, reason, stacks))

    def _hang_in_setup(self, _units: Collection[int], stacks: str) -> None:
        reason = f"hung: it came to no end within {self._task.resources.setup_timeout:g} s"
        self._leave(reason, stacks, self._attempts.hang_in_setup.remote(self._run, reason, stacks))

    def _leave(self, reason: str, stacks: str, reported: Any) -> None:
        LOG.error("%s, leaving\n%s", reason, stacks)
        try:
            ray.get(reported, timeout=_REPORT_SECONDS)
        finally:
            os._exit(1)


def _quiet() -> None:
    """The engine reports progress and errors itself."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
