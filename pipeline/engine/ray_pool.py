"""The workers of a Ray cluster: how many fit, what each takes, and what runs in one."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import cloudpickle

from augment.errors import UserError
from pipeline.engine.errors import DeviceFault, UnitFailed
from pipeline.engine.faults import History, Lanes, Watchdog
from pipeline.engine.progress import take_remarks
from pipeline.engine.stage import Resources, UnitTask, WorkUnit, units_at_once
from pipeline.engine.worker import THREADING, Worker

LOG = logging.getLogger(__name__)

# Ray Data's own tasks need a slot beside the pool, or the job waits for ever.
RESERVED_CPUS = 1

# The resource that counts the CPU slots of a node that have no core.
CORELESS = "lumen_coreless_slots"

# How long a worker that hangs tries to report it before it ends.
REPORT_SECONDS = 10.0

# A wait for room that is longer is reported.
_REPORT_AFTER_SECONDS = 5.0

Node = Mapping[str, float]


@dataclass(frozen=True)
class Pool:
    """The workers of one call of an executor.

    Attributes:
        workers: how many at once.
        threads: torch threads of each.
        attempts: handle of the actor that counts attempts at units, see ``Attempts``.
        run: number of the call; attempts are counted by it.
        options: what Ray reserves and sets for each worker.
        elastic: whether a group of workers that train together may be smaller where room is short.
    """

    workers: int
    threads: int
    attempts: Any
    run: int
    options: Mapping[str, Any]
    elastic: bool = False


class UnitActor:
    """The task in a Ray worker.

    Errors come back as results: an exception in a constructor or a row would make Ray Data restart the actor,
    or hide the cause in pages of its own.
    """

    def __init__(self, task: UnitTask[Any], threads: int, attempts: Any, run: int) -> None:
        self._worker = Worker(task, threads)
        self._lanes = Lanes(units_at_once(task))
        # A worker is set up before its first unit runs, so the two never watch at the same time.
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
        history = self._history(index)
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
        remarks = "\n".join(take_remarks())
        return {"index": index, "lost": history.begun, "result": cloudpickle.dumps(result), "remarks": remarks}

    def _history(self, index: int) -> History:
        """The attempts at a unit so far."""
        history: History = ray.get(self._attempts.history.remote(self._run, index))
        return history

    def _begin(self, index: int) -> None:
        """Count an attempt."""
        ray.get(self._attempts.begin.remote(self._run, index))

    def _result(self, unit: WorkUnit, index: int, history: History) -> Any:
        if history.fault is not None:
            if history.in_setup:
                reason = f"setting up {self._task.name}: {history.fault.reason}"
                raise UnitFailed(unit.shard, reason, history.fault.traceback)
            return history.fault
        with self._lanes.entered(alone=history.begun > 0):
            # Counted here and not while it waits for a lane: whatever takes this worker down is in a lane.
            self._begin(index)
            if self._worker.set_up(unit, self._setup_watchdog.watching(index)):
                self._attempts.ready.remote(self._run)
            with self._watchdog.watching(index):
                result = self._worker.run(unit)
            self._attempts.end.remote(self._run, index)
            return result

    @property
    def _missed(self) -> str:
        return "no unit of its worker ended"

    def _hang(self, units: Collection[int], stacks: str) -> None:
        reason = f"hung: {self._missed} within {self._task.resources.unit_timeout:g} s"
        self._leave(reason, stacks, self._attempts.hang.remote(self._run, units, reason, stacks))

    def _hang_in_setup(self, _units: Collection[int], stacks: str) -> None:
        reason = f"hung: it did not end within {self._task.resources.setup_timeout:g} s"
        self._leave(reason, stacks, self._attempts.hang_in_setup.remote(self._run, reason, stacks))

    def _leave(self, reason: str, stacks: str, reported: Any) -> None:
        LOG.error("%s, leaving\n%s", reason, stacks)
        try:
            ray.get(reported, timeout=REPORT_SECONDS)
        finally:
            os._exit(1)


def node_resources() -> list[dict[str, float]]:
    """The slots of each node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def coreless_slots(nodes: Sequence[Node]) -> float:
    """CPU slots of the cluster that have no core; trainings leave them free."""
    return sum(node.get(CORELESS, 0) for node in nodes)


def pool_size(name: str, resources: Resources, nodes: Sequence[Node], units: int, reserved: float) -> int:
    """How many workers to start: the configured number, or for "auto" the most that fit; never more than units.

    Raises UserError where the pool, or even one worker, does not fit beside the ``reserved`` CPU slots; it names
    what the cluster has, what the stage needs, and the setting to change.
    """
    cpus = sum(node.get("CPU", 0) for node in nodes)
    gpus = sum(node.get("GPU", 0) for node in nodes)
    beside_reserve = math.floor((cpus - reserved) / resources.num_cpus)
    fitting = min(beside_reserve, sum(_workers_on(node, resources) for node in nodes))
    needed = 1 if resources.workers == "auto" else min(resources.workers, units)
    if needed > fitting:
        kept = f", {reserved:g} CPU of them reserved for reading" if reserved else ""
        raise UserError(
            f"{name}: the cluster has {cpus:g} CPU and {gpus:g} GPU slots on {len(nodes)} node(s){kept}; it holds "
            f"{max(fitting, 0)} worker(s) of {resources.num_cpus:g} CPU and {resources.num_gpus:g} GPU, and the stage "
            f"asks for {needed}: lower its resources (workers, num_cpus, num_gpus), enlarge the cluster, or use the "
            "serial executor"
        )
    return min(fitting, units) if resources.workers == "auto" else needed


def report_shortage(name: str, resources: Resources, reserved: float, report: Callable[[str], None]) -> None:
    """Report what a stage waits for where all room is taken, since Ray waits silently."""
    # The workers of the previous stage are gone, but their slots take a moment to become free.
    deadline = time.monotonic() + _REPORT_AFTER_SECONDS
    while lack := shortage(resources, ray.available_resources(), reserved):
        if time.monotonic() > deadline:
            report(f"{name}: waiting for {lack}: others are using the cluster")
            return
        time.sleep(0.2)


def shortage(resources: Resources, free: Mapping[str, float], reserved: float) -> str:
    """What one worker and the reserved CPU slots need in addition to what is free; empty where that is enough."""
    needed = {"CPU": resources.num_cpus + reserved, "GPU": resources.num_gpus}
    lacking = {slot: number for slot, number in needed.items() if number > free.get(slot, 0)}
    return " and ".join(f"{number:g} {slot} slots ({free.get(slot, 0):g} free)" for slot, number in lacking.items())


def threads_per_worker(resources: Resources, nodes: Sequence[Node], workers: int, free: int | None = None) -> int:
    """The torch threads of a worker: as set, else its share of all cores, within one node.

    ``free`` is how many cores others leave unused, where that is known, as on this machine alone.
    """
    if resources.threads is not None:
        return resources.threads
    cores = [node.get("CPU", 0) - node.get(CORELESS, 0) for node in nodes]
    every = sum(cores) if free is None else min(sum(cores), free)
    return max(1, int(min(max(cores), every // workers)))


def worker_options(resources: Resources, threads: int) -> dict[str, Any]:
    """What Ray reserves and sets for each worker."""
    environment = {name: os.environ.get(name, value) for name, value in THREADING.items()}
    environment["OMP_NUM_THREADS"] = str(threads)
    if not resources.num_gpus:
        # Libraries would move to a GPU by themselves.
        environment["CUDA_VISIBLE_DEVICES"] = ""
    return {
        "num_cpus": resources.num_cpus,
        "num_gpus": resources.num_gpus,
        "runtime_env": {"env_vars": environment},
    }


def _workers_on(node: Node, resources: Resources) -> int:
    workers = math.floor(node.get("CPU", 0) / resources.num_cpus)
    if resources.num_gpus:
        workers = min(workers, math.floor(node.get("GPU", 0) / resources.num_gpus))
    return workers
