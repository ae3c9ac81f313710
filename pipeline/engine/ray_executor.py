"""Units on a Ray cluster, with Ray Data as the scheduler and nothing more."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Generator, Sequence
from typing import Any, TypeVar

import ray
import ray.data
from ray import cloudpickle
from ray.exceptions import RayError

from augment.errors import UserError
from pipeline.engine.errors import DeviceFault, RunFailed, UnitFailed
from pipeline.engine.plan import unit_blocks
from pipeline.engine.ray_cluster import connect, node_resources, pool_size, threads_per_worker
from pipeline.engine.stage import Resources, UnitTask
from pipeline.engine.unit import WorkUnit
from pipeline.engine.worker import Worker

R = TypeVar("R")

# One row a block gives results as they come; past this many blocks the scheduler is the bottleneck.
_MAX_BLOCKS = 4096


class RayExecutor:
    """Runs units on a pool of actors. Rows carry units and small results, never samples.

    A lost worker is replaced; a unit that takes its worker down ``max_attempts`` times is at fault itself.
    """

    def __init__(self, cluster: str | None = None, max_attempts: int = 5) -> None:
        self._cluster = cluster
        self._max_attempts = max_attempts
        self._attempts: Any = None
        self._runs = 0

    def map(self, task: UnitTask[R], units: Sequence[WorkUnit]) -> Generator[tuple[WorkUnit, R], None, None]:
        """Each unit with its result, as they complete; see Executor."""
        if not units:
            return
        connect(self._cluster)
        nodes = node_resources()
        workers = pool_size(task.name, task.resources, nodes, len(units))
        threads = threads_per_worker(task.resources, nodes, workers)
        _quiet()
        if self._attempts is None:
            counter = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Attempts)
            self._attempts = counter.remote(self._max_attempts)
        self._runs += 1
        results = ray.data.from_arrow(unit_blocks(units, _MAX_BLOCKS)).map(
            _Actor,
            fn_constructor_args=(task, threads, self._attempts, self._runs),
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=task.resources.num_cpus,
            num_gpus=task.resources.num_gpus,
            runtime_env={"env_vars": _environment(task.resources, threads)},
        )
        try:
            for row in results.iter_rows():
                result = cloudpickle.loads(row["result"])
                if isinstance(result, UserError | UnitFailed):
                    raise result
                yield units[row["index"]], result
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
        self._attempts = attempts
        self._run = run

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        unit = WorkUnit.from_json(row["unit"])
        try:
            if not ray.get(self._attempts.begin.remote(self._run, row["index"])):
                raise UnitFailed(unit.shard, "its worker was lost again and again", "")
            result = self._worker.run(unit)
        except UserError as error:
            result = UserError(str(error))
        except UnitFailed as error:
            result = error
        except DeviceFault:
            # Only a new process gets a usable device; Ray starts one and runs the unit again.
            logging.getLogger(__name__).exception("the device is lost, leaving")
            os._exit(1)
        return {"index": row["index"], "result": cloudpickle.dumps(result)}


class _Attempts:
    """Counts how often each unit of each run was begun, past the life of the workers."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._begun: Counter[tuple[int, int]] = Counter()

    def begin(self, run: int, index: int) -> bool:
        self._begun[run, index] += 1
        return self._begun[run, index] <= self._limit


def _quiet() -> None:
    """The engine reports progress and errors itself."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
