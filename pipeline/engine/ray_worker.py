"""What runs in a Ray worker: a task, or a training, watched and counted."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection
from typing import Any

import ray
from ray import cloudpickle

from augment.errors import UserError
from augment.progress import TrainingStep
from pipeline.engine.attempts import History
from pipeline.engine.errors import DeviceFault, UnitFailed
from pipeline.engine.lanes import Lanes
from pipeline.engine.remarks import taken_remarks
from pipeline.engine.stage import TrainingTask, UnitTask, WorkUnit, units_at_once
from pipeline.engine.watchdog import Watchdog
from pipeline.engine.worker import ReportedTraining, Worker

LOG = logging.getLogger(__name__)

# How long a worker that hangs tries to say so before it ends.
_REPORT_SECONDS = 10.0
# Between two reports of one training; a step may take milliseconds.
_STEP_SECONDS = 0.5


class UnitActor:
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
        """The result of a row's unit; Ray Data calls this."""
        return self.run_row(row)

    def run_row(self, row: dict[str, Any]) -> dict[str, Any]:
        """The result of a row's unit, pickled, with the number of workers lost with it before, and remarks in lines."""
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

    @property
    def _waited_for(self) -> str:
        return "no unit of its worker came to an end"

    def _hang(self, units: Collection[int], stacks: str) -> None:
        reason = f"hung: {self._waited_for} within {self._task.resources.unit_timeout:g} s"
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


class StepReports:
    """The latest step of each unit that is trained, between the workers and the driver."""

    def __init__(self) -> None:
        self._latest: dict[str, TrainingStep] = {}

    def put(self, shard: str, step: TrainingStep) -> None:
        """A training has taken a step."""
        self._latest[shard] = step

    def take(self) -> dict[str, TrainingStep]:
        """The steps since the last call."""
        latest, self._latest = self._latest, {}
        return latest


class TrainingActor(UnitActor):
    """A training in a Ray worker; ``reports`` is the actor that takes its steps."""

    def __init__(self, task: TrainingTask[Any], threads: int, attempts: Any, run: int, reports: Any) -> None:
        super().__init__(ReportedTraining(task, self._on_step), threads, attempts, run)
        self._reports = reports
        self._reported = float("-inf")

    def _on_step(self, unit: WorkUnit, step: TrainingStep) -> None:
        self._watchdog.advance()
        now = time.monotonic()
        if step.is_last or now - self._reported > _STEP_SECONDS:
            self._reported = now
            taken = self._reports.put.remote(unit.shard, step)
            if step.is_last:
                # The result must not overtake it.
                ray.wait([taken], timeout=_REPORT_SECONDS)

    @property
    def _waited_for(self) -> str:
        return "no step was taken"
