"""Trainings on a Ray cluster: an actor for each, and no time limit but the one between two steps."""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter, deque
from collections.abc import Generator, Sequence
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, NodeDiedError, OutOfMemoryError, RayActorError, WorkerCrashedError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from augment.progress import TrainingStep
from pipeline.engine.errors import UnitFailed
from pipeline.engine.ray_pool import REPORT_SECONDS, Pool, UnitActor
from pipeline.engine.stage import OnUnitStep, TrainingTask, WorkUnit
from pipeline.engine.worker import ReportedTraining

LOG = logging.getLogger(__name__)

# Between two looks at the trainings.
POLL_SECONDS = 0.5
# After a loss, so that a cluster on which workers die at once does not get requests without end.
PAUSE_SECONDS = 1.0
# Between two reports of one training; a step may take milliseconds.
_STEP_SECONDS = 0.5
# Workers in a row that may end without a step, most of them before they begin, which `Attempts` does not count.
_MOST_LOSSES = 20
LOST = (RayActorError, ActorUnavailableError, WorkerCrashedError, NodeDiedError, OutOfMemoryError)


def trained(
    task: TrainingTask[Any], units: Sequence[WorkUnit], pool: Pool, on_step: OnUnitStep
) -> Generator[dict[str, Any], None, None]:
    """The row of each unit as ``UnitActor.run_row`` makes it, as they complete; closing it ends all trainings."""
    reports = StepsOfUnits(units, pool, on_step)
    waiting = deque(range(len(units)))
    running: dict[Any, tuple[int, Any]] = {}
    idle: list[Any] = []
    worker = ray.remote(TrainingActor).options(**pool.options)
    try:
        while waiting or running:
            while waiting and len(running) < pool.workers:
                index = waiting.popleft()
                actor = (
                    idle.pop() if idle else worker.remote(task, pool.threads, pool.attempts, pool.run, reports.actor)
                )
                row = {"index": index, "unit": units[index].to_json()}
                running[actor.run_row.remote(row)] = (index, actor)
            ready, _ = ray.wait(list(running), timeout=POLL_SECONDS)
            reports.deliver()
            for reference in ready:
                index, actor = running.pop(reference)
                try:
                    row = ray.get(reference)
                except LOST as error:
                    if getattr(error, "actor_init_failed", False):
                        raise
                    ray.kill(actor)
                    require_progress(units[index], reports.lose(index), str(error))
                    LOG.warning(
                        "%s: its worker was lost, going on from the last checkpoint if there is one", units[index].shard
                    )
                    waiting.appendleft(index)
                    time.sleep(PAUSE_SECONDS)
                    continue
                idle.append(actor)
                yield row
    finally:
        for actor in (*idle, *(actor for _, actor in running.values()), reports.actor):
            ray.kill(actor)


def require_progress(unit: WorkUnit, losses: int, cause: str) -> None:
    """Raise UnitFailed where too many workers in a row were lost without a step; ``cause`` is that of the last loss."""
    if losses > _MOST_LOSSES:
        raise UnitFailed(unit.shard, f"lost worker: {losses} workers ended before they took a step", cause)


class TrainingActor(UnitActor):
    """A training in a Ray worker; ``reports`` is the actor that takes its steps."""

    def __init__(self, task: TrainingTask[Any], threads: int, attempts: Any, run: int, reports: Any) -> None:
        super().__init__(ReportedTraining(task, self._on_step), threads, attempts, run)
        self._reports = reports
        self._reported = float("-inf")
        self._attempt = uuid.uuid4().hex

    def _on_step(self, unit: WorkUnit, step: TrainingStep) -> None:
        self._watchdog.advance()
        now = time.monotonic()
        if step.is_last or now - self._reported > _STEP_SECONDS:
            self._reported = now
            taken = self._reports.put.remote(unit.shard, self._attempt, step)
            if step.is_last:
                # The result must not overtake it.
                ray.wait([taken], timeout=REPORT_SECONDS)

    @property
    def _missed(self) -> str:
        return "no step was taken"


class StepReports:
    """The latest step of each training, and its failure, between the workers and the driver."""

    def __init__(self) -> None:
        self._latest: dict[str, tuple[str, TrainingStep]] = {}
        self._failure: dict[str, Any] | None = None

    def put(self, shard: str, attempt: str, step: TrainingStep) -> None:
        """A training has taken a step, in an attempt of this name."""
        self._latest[shard] = (attempt, step)

    def take(self) -> dict[str, tuple[str, TrainingStep]]:
        """The attempts and steps since the last call."""
        latest, self._latest = self._latest, {}
        return latest

    def fail(self, row: dict[str, Any]) -> None:
        """A worker among several that train together has failed, which the others cannot know; the first one counts."""
        self._failure = self._failure or row

    def failure(self) -> dict[str, Any] | None:
        """The row of the worker that failed, if one did."""
        return self._failure


class StepsOfUnits:
    """Passes the steps of trainings on, and forgives the attempts of a training that has advanced since."""

    def __init__(self, units: Sequence[WorkUnit], pool: Pool, on_step: OnUnitStep) -> None:
        self._units = units
        self._indexes = {unit.shard: index for index, unit in enumerate(units)}
        self._pool = pool
        self._on_step = on_step
        self._latest: dict[int, TrainingStep] = {}
        # The last attempt at each unit that advanced, so that the counter is called once for each.
        self._advanced: dict[int, str] = {}
        self._losses: Counter[int] = Counter()
        # On this node: the run ends with it anyway.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        keeper = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(StepReports)
        self.actor: Any = keeper.options(scheduling_strategy=here).remote()

    def deliver(self) -> None:
        """Pass on the steps since the last call."""
        for shard, (attempt, step) in ray.get(self.actor.take.remote()).items():
            index = self._indexes[shard]
            # Further than any attempt before, because what has no checkpoint begins with its first step again.
            if _is_further(step, self._latest.get(index)):
                self._latest[index] = step
                if self._advanced.get(index) != attempt:
                    # A training of days outlives any number of nodes, and a group any number of changes of its size,
                    # which Ray Train makes by itself; only attempts without progress count.
                    self._pool.attempts.end.remote(self._pool.run, index)
                    self._advanced[index] = attempt
                    del self._losses[index]
            self._on_step(self._units[index], step)

    def lose(self, index: int) -> int:
        """The worker of a training is lost; returns how many were since it last advanced."""
        self._losses[index] += 1
        return self._losses[index]


def _is_further(step: TrainingStep, latest: TrainingStep | None) -> bool:
    return latest is None or step.phase != latest.phase or step.step > latest.step
