"""How many workers a Ray cluster holds, and what they take."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from augment.errors import UserError
from pipeline.engine.cores import THREADING
from pipeline.engine.stage import Resources

# Ray Data's own tasks need a slot beside the pool, or the job waits for ever.
RESERVED_CPUS = 1

# The resource by which a node says how many of its CPU slots stand for no core.
CORELESS = "lumen_coreless_slots"

# After so long a wait for room is reported.
_PATIENCE_SECONDS = 5.0

Node = Mapping[str, float]


@dataclass(frozen=True)
class Pool:
    """The workers of one call of an executor.

    Attributes:
        workers: how many at once.
        threads: torch threads of each.
        attempts: handle of the actor that counts attempts at units, see ``Attempts``.
        run: number of the call, by which attempts are counted.
        options: what Ray is asked for each worker.
    """

    workers: int
    threads: int
    attempts: Any
    run: int
    options: Mapping[str, Any]


def node_resources() -> list[dict[str, float]]:
    """The slots of each node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def coreless_slots(nodes: Sequence[Node]) -> float:
    """CPU slots of the cluster that stand for no core; trainings leave them free."""
    return sum(node.get(CORELESS, 0) for node in nodes)


def pool_size(name: str, resources: Resources, nodes: Sequence[Node], units: int, reserved: float) -> int:
    """How many workers to start: what is asked, or for "auto" the most that fit; never more than units.

    Raises UserError where the pool, or even one worker, does not fit beside the ``reserved`` CPU slots; it names
    what the cluster has, what the stage asks, and the setting to change.
    """
    cpus = sum(node.get("CPU", 0) for node in nodes)
    gpus = sum(node.get("GPU", 0) for node in nodes)
    beside_reserve = math.floor((cpus - reserved) / resources.num_cpus)
    fitting = min(beside_reserve, sum(_workers_on(node, resources) for node in nodes))
    asked = 1 if resources.workers == "auto" else min(resources.workers, units)
    if asked > fitting:
        kept = f", {reserved:g} CPU of them reserved for reading" if reserved else ""
        raise UserError(
            f"{name}: the cluster has {cpus:g} CPU and {gpus:g} GPU slots on {len(nodes)} node(s){kept}; it holds "
            f"{max(fitting, 0)} worker(s) of {resources.num_cpus:g} CPU and {resources.num_gpus:g} GPU, and the stage "
            f"asks for {asked}: lower its resources (workers, num_cpus, num_gpus), enlarge the cluster, or use the "
            "serial executor"
        )
    return min(fitting, units) if resources.workers == "auto" else asked


def report_shortage(name: str, resources: Resources, reserved: float, report: Callable[[str], None]) -> None:
    """Report what a stage has to wait for where all room is taken, since Ray waits in silence."""
    # The workers of the stage before are gone, but their slots take a moment to come free.
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while lack := shortage(resources, ray.available_resources(), reserved):
        if time.monotonic() > deadline:
            report(f"{name}: waiting for {lack}: others are at work on the cluster")
            return
        time.sleep(0.2)


def shortage(resources: Resources, free: Mapping[str, float], reserved: float) -> str:
    """What one worker and the reserved CPU slots need beside what is free, nothing where that is enough."""
    needed = {"CPU": resources.num_cpus + reserved, "GPU": resources.num_gpus}
    lacking = {slot: number for slot, number in needed.items() if number > free.get(slot, 0)}
    return " and ".join(f"{number:g} {slot} slots ({free.get(slot, 0):g} free)" for slot, number in lacking.items())


def threads_per_worker(resources: Resources, nodes: Sequence[Node], workers: int, free: int | None = None) -> int:
    """The torch threads of a worker: as set, else its share of all cores, within one node.

    ``free`` is how many cores others leave, where that is known, as of this machine alone.
    """
    if resources.threads is not None:
        return resources.threads
    cores = [node.get("CPU", 0) - node.get(CORELESS, 0) for node in nodes]
    every = sum(cores) if free is None else min(sum(cores), free)
    return max(1, int(min(max(cores), every // workers)))


def worker_options(resources: Resources, threads: int) -> dict[str, Any]:
    """What Ray is asked for each worker."""
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
