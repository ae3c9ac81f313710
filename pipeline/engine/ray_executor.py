"""Units on a Ray cluster: Ray Data schedules shards; trainings are actors of their own, or groups of Ray Train."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, TypeVar

import ray
import ray.data
from ray import cloudpickle
from ray.data import ActorPoolStrategy
from ray.util.metrics import Counter, Gauge, Histogram

from augment.errors import UserError
from pipeline.engine.errors import GiveUp, UnitFailed, raise_at_fault
from pipeline.engine.faults import AtFault, Attempts
from pipeline.engine.plan import unit_blocks
from pipeline.engine.ray_cluster import connect, ray_errors
from pipeline.engine.ray_group import trained_together
from pipeline.engine.ray_pool import (
    RESERVED_CPUS,
    Pool,
    UnitActor,
    coreless_slots,
    node_resources,
    pool_size,
    report_shortage,
    threads_per_worker,
    worker_options,
)
from pipeline.engine.ray_training import trained
from pipeline.engine.stage import OnUnitStep, Resources, TrainingTask, UnitTask, WorkUnit, most_workers, units_at_once
from pipeline.engine.worker import free_cores
from pipeline.store import Receipt

R = TypeVar("R")
LOG = logging.getLogger(__name__)

# One row a block gives results as they come; past this many blocks the scheduler is the bottleneck.
_MAX_BLOCKS = 4096
# Workers that may die one after the other while they start, as on a cluster that loses nodes. Where the start itself
# fails, as without the package installed, this costs a few more tries before the run ends.
_MAX_INIT_DEATHS = 3
# Bounds of the histogram, from tests to the longest shards: a tenth of a second to three hours.
_SECONDS = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000]
_TAGS = ("stage",)


class RayExecutor:
    """Runs units on a pool of actors. Rows carry units and small results, never samples.

    A lost worker is replaced. A unit that takes its worker down ``max_attempts`` times, or hangs twice, is at fault
    itself. After a first loss a unit runs alone in its worker, so that no other unit is blamed for it. ``report``
    takes a line when the run waits for the cluster or for room on it, and the lines that workers have for the user.
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
        with ray_errors(task.name):
            pool = self._pool(task.name, task.resources, len(units), RESERVED_CPUS)
            metrics = StageMetrics(task.name, len(units))
            for unit, found in _outcomes(units, _mapped(task, units, pool), self._report):
                faulty = isinstance(found, AtFault)
                result = at_fault(unit, found.reason, found.traceback) if faulty else found
                metrics.add(result)
                yield unit, result

    def train(
        self, task: TrainingTask[R], units: Sequence[WorkUnit], on_step: OnUnitStep
    ) -> Generator[tuple[WorkUnit, R], None, None]:
        """Each unit with the result of its training, as they complete; see Executor."""
        if not units:
            return
        with ray_errors(task.name):
            together = most_workers(task)
            pool = self._pool(task.name, task.resources, together or len(units))
            metrics = StageMetrics(task.name, len(units))
            train = trained_together if together else trained
            with closing(train(task, units, pool, on_step)) as rows:
                for unit, result in _outcomes(units, rows, self._report):
                    if isinstance(result, AtFault):
                        raise UnitFailed(unit.shard, result.reason, result.traceback)
                    metrics.add(result)
                    yield unit, result

    def _pool(self, name: str, resources: Resources, units: int, reserved: int | None = None) -> Pool:
        """Room on the cluster beside ``reserved`` CPU slots; None reserves those without a core."""
        connect(self._cluster, self._report)
        nodes = node_resources()
        beside = coreless_slots(nodes) if reserved is None else reserved
        workers = pool_size(name, resources, nodes, units, beside)
        # Only a cluster of this machine alone has slots without a core.
        free = free_cores() if coreless_slots(nodes) else None
        threads = threads_per_worker(resources, nodes, workers, free)
        report_shortage(name, resources, beside, self._report)
        if self._attempts is None:
            counter = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Attempts)
            self._attempts = counter.remote(self._max_attempts)
        self._runs += 1
        elastic = resources.workers == "auto" and workers > 1
        return Pool(workers, threads, self._attempts, self._runs, worker_options(resources, threads), elastic)


class StageMetrics:
    """Counts of one stage for Prometheus, tagged with its name, at the metrics endpoint of each node.

    ``lumen_units_planned`` is a gauge, ``lumen_units``, ``lumen_samples``, ``lumen_failures`` and ``lumen_dropped``
    are counters, ``lumen_unit_seconds`` is a histogram of the seconds that shards took in their workers.
    """

    def __init__(self, stage: str, planned: int) -> None:
        self._units = Counter("lumen_units", "Work units done", _TAGS)
        self._samples = Counter("lumen_samples", "Samples written", _TAGS)
        self._failures = Counter("lumen_failures", "Samples quarantined", _TAGS)
        self._dropped = Counter("lumen_dropped", "Samples left out on purpose", _TAGS)
        self._seconds = Histogram("lumen_unit_seconds", "Seconds that a shard took", _SECONDS, _TAGS)
        self._planned = Gauge("lumen_units_planned", "Work units of the run", _TAGS)
        self._tags = {"stage": stage}
        self._total = planned

    def add(self, result: object) -> None:
        """Count a unit, and the samples of its receipt where the result is one."""
        # Ray shows a gauge once and then drops it.
        self._planned.set(self._total, self._tags)
        self._units.inc(1, self._tags)
        if not isinstance(result, Receipt):
            return
        self._seconds.observe(result.seconds, self._tags)
        for counter, count in (
            (self._samples, result.samples),
            (self._failures, result.failures),
            (self._dropped, result.dropped),
        ):
            # Ray refuses to add 0.
            if count:
                counter.inc(count, self._tags)


def _mapped(task: UnitTask[Any], units: Sequence[WorkUnit], pool: Pool) -> Iterator[dict[str, Any]]:
    """The row of each unit as ``UnitActor`` makes it, as they complete."""
    _configure()
    # One by one, so that of a million units only a block is held as JSON; Ray moves the others to disk.
    blocks = [ray.put(block) for block in unit_blocks(units, _MAX_BLOCKS)]
    results = ray.data.from_arrow_refs(blocks).map(
        UnitActor,
        fn_constructor_args=(task, pool.threads, pool.attempts, pool.run),
        # The worker itself says which of its units may run at the same time.
        compute=ActorPoolStrategy(
            size=pool.workers,
            max_concurrent_calls_per_actor=units_at_once(task),
            enable_true_multi_threading=True,
        ),
        **pool.options,
    )
    return results.iter_rows()


def _outcomes(
    units: Sequence[WorkUnit], rows: Iterator[dict[str, Any]], report: Callable[[str], None]
) -> Iterator[tuple[WorkUnit, Any]]:
    """Each unit with the result in its row; raises what the unit raised. ``report`` takes each remark once."""
    reported: set[str] = set()
    for row in rows:
        # From this run's own actor, by Ray, which pickles tasks and arguments itself; nothing from a file.
        unit, result = units[row["index"]], cloudpickle.loads(row["result"])
        if row["lost"]:
            LOG.warning("%s: run again, %d of its workers were lost before", unit.shard, row["lost"])
        for line in row["remarks"].splitlines():
            if line not in reported:
                reported.add(line)
                report(line)
        if isinstance(result, UserError | UnitFailed):
            raise result
        yield unit, result


def _configure() -> None:
    """Let Ray Data wait as long as a unit takes, and be quiet: the engine reports progress and errors itself."""
    context = ray.data.DataContext.get_current()
    # A healthy unit may take hours, and so may the wait for room; only unit_timeout ends one that hangs.
    context.execution_no_progress_timeout_s = -1
    context.wait_for_min_actors_s = -1
    context.max_consecutive_actor_init_deaths = _MAX_INIT_DEATHS
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
