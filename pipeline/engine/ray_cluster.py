"""Joining a Ray cluster or starting one here, and what Ray raises as one line with its cause and remedy."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

import ray

# Ray has no public function that resolves "auto" without joining the cluster, and joining one that is gone blocks.
from ray._private.services import canonicalize_bootstrap_address as resolve_address
from ray.exceptions import RayTaskError

from augment.errors import UserError
from augment.sockets import short_folder
from pipeline.engine.errors import RunFailed
from pipeline.engine.ray_pool import CORELESS, RESERVED_CPUS

# Rows are units and receipts, so the object store of a local cluster can be small.
_LOCAL_OBJECT_STORE_BYTES = 256 << 20

# A cluster that takes longer to answer is reported, and a host that accepts no connection in this time counts as down.
_ANSWER_SECONDS = 5.0

# Ray gives up a start on this machine after 30 seconds, without a setting for it.
_STARTS = 4

# For a busy machine; a user's own setting has priority. Ray's processes and workers must answer within these times: a
# busy machine or a slow disk exceeds Ray's defaults (10 to 100 s), and Ray then ends workers or the whole node.
_RAY_DEFAULTS = {
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_agent_register_timeout_ms": "600000",
    "RAY_gcs_server_port_wait_time_s": "300",
    "RAY_health_check_timeout_ms": "60000",
    # Ray's own 15 leaves workers a fiftieth of a core beside each process of normal priority.
    "RAY_worker_niceness": "0",
}

# The socket with the longest name below Ray's folder.
_SOCKET = "session_2026-01-01_00-00-00_000000_0000000/sockets/plasma_store"

_AGAIN = "give the same command again; it goes on from what is done"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
# By the name of the exception, as Ray has several classes for some of them.
_REMEDIES = {
    "ObjectStoreFullError": f"Ray's object store is full: free /dev/shm on the node, then {_AGAIN}",
    "OutOfDiskError": f"the disk of Ray's temporary folder is full: make room there, then {_AGAIN}",
    "OutOfMemoryError": f"a node ran out of memory: lower workers or batch_size of the stage, then {_AGAIN}",
    "RuntimeEnvSetupError": f"a node could not set its workers up: see its Ray logs, then {_AGAIN}",
    "LocalRayletDiedError": f"Ray's own process on this node ended, perhaps out of memory: {_AGAIN}",
}


def connect(address: str | None, report: Callable[[str], None]) -> None:
    """Join the cluster at ``address`` or RAY_ADDRESS, else start one here; does nothing where Ray is up.

    ``report`` takes a line where the answer takes long. Raises UserError where the cluster does not answer or
    cannot be joined, RunFailed where Ray does not start here.
    """
    if ray.is_initialized():
        return
    address = address or os.environ.get("RAY_ADDRESS")
    if not address:
        # Ray Data's own tasks hardly use their slot, so on this machine it does not take a core.
        start_local((os.cpu_count() or 1) + RESERVED_CPUS, coreless=RESERVED_CPUS, report=report)
        return
    line = f"waiting for the Ray cluster at {address}, which does not answer; without cluster.address one starts here"
    slow_answer = Timer(_ANSWER_SECONDS, report, [line])
    slow_answer.daemon = True
    try:
        _require_listener(address)
        slow_answer.start()
        _init(address=address)
    except (OSError, ValueError) as error:
        raise UserError(f"cluster.address: no Ray cluster answers at {address}: {error}") from error
    except Exception as error:
        # Ray raises RuntimeError, classes of its own and plain Exception, as for a head that has just ended.
        raise UserError(f"cluster.address: the Ray cluster at {address} cannot be joined: {error}") from error
    finally:
        slow_answer.cancel()


def require_cluster(address: str | None) -> None:
    """Check that a Ray cluster answers at ``address`` or RAY_ADDRESS, without joining it.

    Raises:
        UserError: none does.
    """
    place = address or os.environ.get("RAY_ADDRESS")
    if place is None or ray.is_initialized():
        return
    try:
        _require_listener(place)
    except (OSError, ValueError) as error:
        why = "none runs on this machine" if place == "auto" else error
        raise UserError(
            f"cluster.address: no Ray cluster answers at {place}: {why}: start one, or give cluster.address=null for "
            "this machine alone"
        ) from error


def _require_listener(address: str) -> None:
    """Raise OSError where nothing listens; Ray itself would try for many minutes, silently, and ignore Ctrl-C."""
    if "://" in address:
        return
    # "auto" is the last cluster that was started here, which may have ended long ago.
    place = resolve_address(address)
    host, _, port = (place or "").rpartition(":")
    if port:
        try:
            socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
        except OSError as error:
            raise ConnectionError(f"nothing listens at {place} ({error.strerror or error})") from error


def start_local(num_cpus: int, coreless: int = 0, report: Callable[[str], None] = print) -> None:
    """Start a cluster of this process with ``num_cpus`` CPU slots, ``coreless`` of them without a core.

    It ends with the process.

    Raises:
        RunFailed: it does not start after several tries.
        UserError: its folder for temporary files cannot be written.
    """
    for name, value in _RAY_DEFAULTS.items():
        os.environ.setdefault(name, value)
    folder = temp_dir()
    for attempt in range(1, _STARTS + 1):
        try:
            _init(
                address="local",
                num_cpus=num_cpus,
                resources={CORELESS: coreless},
                object_store_memory=_LOCAL_OBJECT_STORE_BYTES,
                include_dashboard=False,
                _temp_dir=folder,
            )
            return
        except Exception as error:
            # Ray raises a plain Exception where the machine is too busy to start it within its own limit.
            ray.shutdown()
            cause = " ".join(str(error).split())
            if isinstance(error, OSError) and not isinstance(error, TimeoutError | ConnectionError):
                place = folder or os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
                raise UserError(
                    f"Ray cannot write its files in {place} ({cause}): set RAY_TMPDIR to a folder that can be written"
                ) from error
            if attempt == _STARTS:
                raise RunFailed(
                    f"Ray does not start on this machine, tried {_STARTS} times ({cause}): give the same command again "
                    "when the machine is less busy, or run in one process with --executor serial"
                ) from error
            report(f"Ray is slow to start on this machine, trying again ({attempt} of {_STARTS})")


def temp_dir() -> str | None:
    """A folder for Ray's files where its default has too long a path for its sockets, else None."""
    default = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    return short_folder(default, f"/ray/{_SOCKET}")


@contextmanager
def ray_errors(what: str) -> Iterator[None]:
    """Raise RunFailed for anything that Ray raises inside the context.

    Not only its RayError: Ray Data and Ray's start raise classes of their own.
    """
    try:
        yield
    except Exception as error:
        if not any(cls.__module__.partition(".")[0] == "ray" for cls in type(error).__mro__):
            raise
        raise RunFailed(f"{what}: {_describe(error)}") from error


def _describe(error: BaseException) -> str:
    """The cause in one line of Ray's message, and what to do."""
    name = type(error).__name__
    remedy = next((_REMEDIES[cls.__name__] for cls in type(error).__mro__ if cls.__name__ in _REMEDIES), _AGAIN)
    lines = [line.strip() for line in _ANSI.sub("", str(error)).splitlines() if line.strip()]
    if not lines:
        return f"{name}: {remedy}"
    # What a worker raises comes as its traceback, which ends with the cause.
    from_worker = isinstance(error, RayTaskError) or getattr(error, "actor_init_failed", False)
    cause = lines[-1 if from_worker else 0].rstrip(".")
    if from_worker and cause.startswith(("ModuleNotFoundError", "ImportError")):
        remedy = "install the same version of lumen, with the same extras, on every node"
    return f"Ray stopped the work ({cause if from_worker else f'{name}: {cause}'}): {remedy}"


def _init(**options: Any) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's core writes its warnings to the driver's standard error; what matters is raised.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    with _without_stderr():
        ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)


@contextmanager
def _without_stderr() -> Iterator[None]:
    # The core announces its log level whatever Python's settings are.
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
