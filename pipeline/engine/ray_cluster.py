"""Joining or starting a Ray cluster, and how large a pool it holds."""

from __future__ import annotations

import logging
import math
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Timer
from typing import Any

import ray
from ray._private.services import canonicalize_bootstrap_address

from augment.errors import UserError
from pipeline.engine.stage import Resources

# Rows are units and receipts, so the object store of a local cluster can be small.
_LOCAL_OBJECT_STORE_BYTES = 256 << 20

# Ray Data's own tasks need a slot beside the pool, or the job waits for ever.
RESERVED_CPUS = 1

# After so long a wait is told of, and a host that takes no connection is given up.
_PATIENCE_SECONDS = 5.0

# The resource by which a node tells how many of its CPU slots stand for no core.
_CORELESS = "lumen_coreless_slots"


def connect(address: str | None, report: Callable[[str], None]) -> None:
    """Join the cluster at ``address`` or RAY_ADDRESS, else start one here; does nothing where Ray is up.

    Raises UserError where the cluster does not answer or cannot be joined; ``report`` takes a line where the answer is
    long in coming.
    """
    if ray.is_initialized():
        return
    address = address or os.environ.get("RAY_ADDRESS")
    if not address:
        # Ray Data's own tasks hardly use their slot, so that on this machine it need not cost a core.
        start_local((os.cpu_count() or 1) + RESERVED_CPUS, coreless=RESERVED_CPUS)
        return
    line = f"waiting for the Ray cluster at {address}, which does not answer; without cluster.address one starts here"
    impatience = Timer(_PATIENCE_SECONDS, report, [line])
    impatience.daemon = True
    try:
        _require_listener(address)
        impatience.start()
        _init(address=address)
    except (OSError, ValueError) as error:
        raise UserError(f"cluster.address: no Ray cluster answers at {address}: {error}") from error
    except RuntimeError as error:
        raise UserError(f"cluster.address: the Ray cluster at {address} cannot be joined: {error}") from error
    finally:
        impatience.cancel()


def _require_listener(address: str) -> None:
    """Raise OSError where nothing listens; Ray itself would try for many minutes, in silence and deaf to Ctrl-C."""
    if "://" in address:
        return
    # Ray alone knows what "auto" means: the last cluster that was started here, which may be long gone.
    place = canonicalize_bootstrap_address(address)
    host, _, port = (place or "").rpartition(":")
    if port:
        try:
            socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_SECONDS).close()
        except OSError as error:
            raise ConnectionError(f"nothing listens at {place} ({error.strerror or error})") from error


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


def tell_shortage(name: str, resources: Resources, report: Callable[[str], None]) -> None:
    """Say what a stage has to wait for where all room is taken, which Ray would do in silence."""
    # The workers of the stage before are gone, but their slots take a moment to come free.
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while lack := shortage(resources, ray.available_resources()):
        if time.monotonic() > deadline:
            report(f"{name}: waiting for {lack}: others are at work on the cluster")
            return
        time.sleep(0.2)


def shortage(resources: Resources, free: Mapping[str, float]) -> str:
    """What one worker and the reserved CPU slot need beside what is free, nothing where that is enough."""
    needed = {"CPU": resources.num_cpus + RESERVED_CPUS, "GPU": resources.num_gpus}
    lacking = {slot: number for slot, number in needed.items() if number > free.get(slot, 0)}
    return " and ".join(f"{number:g} {slot} slots ({free.get(slot, 0):g} free)" for slot, number in lacking.items())


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
