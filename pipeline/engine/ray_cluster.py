"""Joining or starting a Ray cluster, and how large a pool it holds."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ray

from augment.errors import UserError
from pipeline.engine.stage import Resources

# Rows are units and receipts, so the object store of a local cluster can be small.
_LOCAL_OBJECT_STORE_BYTES = 256 << 20

# Ray Data's own tasks need a slot beside the pool, or the job waits for ever.
RESERVED_CPUS = 1

# The resource by which a node tells how many of its CPU slots stand for no core.
_CORELESS = "lumen_coreless_slots"


def connect(address: str | None) -> None:
    """Join the cluster at ``address`` or RAY_ADDRESS, else start one here; does nothing where Ray is up.

    Raises UserError where the cluster does not answer.
    """
    if ray.is_initialized():
        return
    address = address or os.environ.get("RAY_ADDRESS")
    if not address:
        # Ray Data's own tasks hardly use their slot, so that on this machine it need not cost a core.
        start_local((os.cpu_count() or 1) + RESERVED_CPUS, coreless=RESERVED_CPUS)
        return
    try:
        _init(address=address)
    except (ConnectionError, ValueError) as error:
        raise UserError(f"cluster: no Ray cluster answers at {address}: {error}") from error


def start_local(num_cpus: int, coreless: int = 0) -> None:
    """Start a cluster of this process with so many CPU slots, some without a core; it ends with the process."""
    _init(
        address="local",
        num_cpus=num_cpus,
        resources={_CORELESS: coreless},
        object_store_memory=_LOCAL_OBJECT_STORE_BYTES,
        include_dashboard=False,
    )


def _init(**options: Any) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's core writes its own worries to the driver's standard error; what matters is raised.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    with _without_stderr():
        ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)


@contextmanager
def _without_stderr() -> Iterator[None]:
    # The core announces its log level past every setting of Python's.
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def node_resources() -> list[dict[str, float]]:
    """The slots of each node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def pool_size(name: str, resources: Resources, nodes: Sequence[Mapping[str, float]], units: int) -> int:
    """How many workers to start: what is asked, or for "auto" the most that fit; never more than units.

    Raises UserError where the pool, or even one worker, does not fit beside the reserved CPU slot; it names
    what the cluster has, what the stage asks, and the setting to change.
    """
    cpus = sum(node.get("CPU", 0) for node in nodes)
    gpus = sum(node.get("GPU", 0) for node in nodes)
    beside_reserve = math.floor((cpus - RESERVED_CPUS) / resources.num_cpus)
    fitting = min(beside_reserve, sum(_workers_on(node, resources) for node in nodes))
    asked = 1 if resources.workers == "auto" else min(resources.workers, units)
    if asked > fitting:
        raise UserError(
            f"{name}: the cluster has {cpus:g} CPU and {gpus:g} GPU slots on {len(nodes)} node(s), one CPU "
            f"of them reserved for reading; it holds {max(fitting, 0)} worker(s) of {resources.num_cpus:g} "
            f"CPU and {resources.num_gpus:g} GPU, and the stage asks for {asked}: lower its resources "
            "(workers, num_cpus, num_gpus), enlarge the cluster, or use the serial executor"
        )
    return min(fitting, units) if resources.workers == "auto" else asked


def threads_per_worker(resources: Resources, nodes: Sequence[Mapping[str, float]], workers: int) -> int:
    """The torch threads of a worker: as set, else its share of all cores, within one node."""
    if resources.threads is not None:
        return resources.threads
    cores = [node.get("CPU", 0) - node.get(_CORELESS, 0) for node in nodes]
    return max(1, int(min(max(cores), sum(cores) // workers)))


def _workers_on(node: Mapping[str, float], resources: Resources) -> int:
    workers = math.floor(node.get("CPU", 0) / resources.num_cpus)
    if resources.num_gpus:
        workers = min(workers, math.floor(node.get("GPU", 0) / resources.num_gpus))
    return workers
