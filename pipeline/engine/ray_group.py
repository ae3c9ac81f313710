"""Trainings that several workers take together, on Ray Train.

The driver starts a supervisor for a training, which runs Ray Train. Ray Train starts the workers and joins them to a
process group; any that is lost ends the group. The driver then starts another, which goes on from the last checkpoint.
Ray Train's own restarts are not used: they would also repeat a training that fails by its own fault, for ever.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray import PlacementGroupID, cloudpickle
from ray.util.placement_group import PlacementGroup, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from augment.progress import TrainingStep
from pipeline.engine.faults import AtFault, History
from pipeline.engine.ray_pool import Pool
from pipeline.engine.ray_training import (
    LOST,
    PAUSE_SECONDS,
    POLL_SECONDS,
    StepsOfUnits,
    TrainingActor,
    require_progress,
)
from pipeline.engine.stage import OnUnitStep, TrainingTask, WorkUnit

LOG = logging.getLogger(__name__)

# No limit: a worker that is lost ends the exchange, and one that hangs is noticed by unit_timeout. Torch's own is 30
# minutes, which a rank may well need to load a dataset.
_EXCHANGE_SECONDS = 10 * 365 * 24 * 3600
# Workers keep the working directory, since paths may be relative to it.
_SUPERVISOR_ENVIRONMENT = {"RAY_CHDIR_TO_TRIAL_DIR": "0"}
# Ray Train waits for room for a minute at a time; by name, since the class is not public.
_STARTUP_TIMEOUT = "WorkerGroupStartupTimeoutError"
# In place of a row.
NO_ROOM: dict[str, Any] = {}


@dataclass(frozen=True)
class Membership:
    """What each worker of a group needs.

    Attributes:
        task: the training.
        pool: how many workers, and what each takes.
        reports: the actor that takes steps and failures.
        row: the unit and its index.
    """

    task: TrainingTask[Any]
    pool: Pool
    reports: Any
    row: dict[str, Any]


def trained_together(
    task: TrainingTask[Any], units: Sequence[WorkUnit], pool: Pool, on_step: OnUnitStep
) -> Generator[dict[str, Any], None, None]:
    """The row of each unit as ``UnitActor.run_row`` makes it, one after the other; closing it ends the training."""
    reports = StepsOfUnits(units, pool, on_step)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    options = {"num_cpus": 0, "scheduling_strategy": here, "runtime_env": {"env_vars": _SUPERVISOR_ENVIRONMENT}}
    supervisor, others = None, _placement_groups()
    try:
        for index, unit in enumerate(units):
            membership = Membership(task, pool, reports.actor, {"index": index, "unit": unit.to_json()})
            row = None
            while row is None:
                if supervisor is None:
                    supervisor = ray.remote(**options)(Supervisor).remote()
                try:
                    row = _row_or_loss(supervisor.fit.remote(membership), reports)
                    loss = "a worker ended"
                except LOST as error:
                    if getattr(error, "actor_init_failed", False):
                        raise
                    supervisor, loss = None, str(error)
                if row is None or row == NO_ROOM:
                    _remove_placement_groups(others)
                if row == NO_ROOM:
                    row = None
                elif row is None:
                    require_progress(unit, reports.lose(index), loss)
                    LOG.warning("%s: a worker was lost, going on from the last checkpoint if there is one", unit.shard)
                    time.sleep(PAUSE_SECONDS)
            yield row
            if supervisor is not None:
                # Workers of a training that failed wait for its end.
                ray.kill(supervisor)
                supervisor = None
    finally:
        for actor in filter(None, (supervisor, reports.actor)):
            ray.kill(actor)
        _remove_placement_groups(others)


def _placement_groups() -> set[str]:
    """Ids of the placement groups of this job."""
    job = ray.get_runtime_context().get_job_id()
    groups = ray.util.placement_group_table()
    return {name for name, group in groups.items() if name.endswith(job) and group["state"] != "REMOVED"}


def _remove_placement_groups(others: set[str]) -> None:
    """Give back the slots of a group that has ended; ``others`` are placement groups that are not of a training.

    Where Ray Train's controller is killed, Ray keeps its slots for as long as the driver lives.
    """
    for name in _placement_groups() - others:
        remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(name))))


def _row_or_loss(training: Any, reports: StepsOfUnits) -> dict[str, Any] | None:
    """The row of a training that ended or failed; None where a worker was lost; `NO_ROOM`."""
    while True:
        ready, _ = ray.wait([training], timeout=POLL_SECONDS)
        reports.deliver()
        failed: dict[str, Any] | None = ray.get(reports.actor.failure.remote())
        if failed is not None:
            return failed
        if ready:
            row: dict[str, Any] | None = ray.get(training)
            return row


class Supervisor:
    """Runs Ray Train on the driver's node. All that Ray Train starts ends with it."""

    def fit(self, membership: Membership) -> dict[str, Any] | None:
        """The row that rank 0 gives; None where a worker was lost, and `NO_ROOM` where there was none for a minute."""
        from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig, TrainingFailedError
        from ray.train.torch import TorchConfig, TorchTrainer

        pool = membership.pool
        with tempfile.TemporaryDirectory(prefix="lumen-train-") as folder:
            run = RunConfig(
                storage_path=folder,
                failure_config=FailureConfig(max_failures=0, controller_failure_limit=0),
                logging_config=LoggingConfig(log_level="ERROR"),
                worker_runtime_env=dict(pool.options["runtime_env"]),
            )
            scaling = ScalingConfig(
                num_workers=(1, pool.workers) if pool.elastic else pool.workers,
                use_gpu=pool.options["num_gpus"] > 0,
                resources_per_worker={"CPU": pool.options["num_cpus"], "GPU": pool.options["num_gpus"]},
            )
            exchange = TorchConfig(timeout_s=_EXCHANGE_SECONDS)
            trainer = TorchTrainer(
                partial(_take_part, membership), torch_config=exchange, scaling_config=scaling, run_config=run
            )
            try:
                row: dict[str, Any] = trainer.fit().return_value
            except TrainingFailedError as error:
                cause = getattr(error, "controller_failure", error)
                if type(cause).__name__ == _STARTUP_TIMEOUT:
                    return NO_ROOM
                LOG.warning("a worker was lost: %s", cause)
                return None
            return row


def _take_part(membership: Membership) -> dict[str, Any]:
    """Train in a worker of Ray Train."""
    return GroupActor(membership).run_row(membership.row)


class GroupActor(TrainingActor):
    """A worker among those that train a unit together. Only rank 0 counts attempts, and reports steps."""

    def __init__(self, membership: Membership) -> None:
        from ray.train import get_context

        pool = membership.pool
        super().__init__(membership.task, pool.threads, pool.attempts, pool.run, membership.reports)
        self._leads = get_context().get_world_rank() == 0

    def run_row(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row of the training, in every rank; where it failed, the driver gets it at once and ends all ranks."""
        found = super().run_row(row)
        # Of this process.
        if isinstance(cloudpickle.loads(found["result"]), Exception | AtFault):
            ray.get(self._reports.fail.remote(found))
            threading.Event().wait()
        return found

    def _history(self, index: int) -> History:
        return super()._history(index) if self._leads else History(0, None, in_setup=False)

    def _begin(self, index: int) -> None:
        if self._leads:
            super()._begin(index)

    def _on_step(self, unit: WorkUnit, step: TrainingStep) -> None:
        if self._leads:
            super()._on_step(unit, step)
        else:
            self._watchdog.advance()
