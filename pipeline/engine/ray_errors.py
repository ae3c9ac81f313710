"""What Ray raises, as one line with its cause and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ray.exceptions import RayTaskError

from pipeline.engine.errors import RunFailed

_AGAIN = "give the same command again; it goes on from what is done"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
# By the name of the exception, as Ray has several classes for some of them.
_REMEDIES = {
    "ObjectStoreFullError": f"Ray's object store is full: free /dev/shm on the node, then {_AGAIN}",
    "OutOfDiskError": f"the disk of Ray's temporary folder is full: make room there, then {_AGAIN}",
    "OutOfMemoryError": f"a node ran out of memory: lower workers or batch_size of the stage, then {_AGAIN}",
    "RuntimeEnvSetupError": f"a node could not set its workers up: see its Ray logs, then {_AGAIN}",
    "LocalRayletDiedError": f"Ray's own process on this node ended, as where memory runs out: {_AGAIN}",
}


@contextmanager
def ray_errors(what: str) -> Iterator[None]:
    """Raise RunFailed for anything that Ray raises inside the context.

    Not only its RayError: Ray Data and Ray's start raise classes of their own.
    """
    try:
        yield
    except Exception as error:
        if not is_ray_error(error):
            raise
        raise RunFailed(f"{what}: {describe(error)}") from error


def is_ray_error(error: BaseException) -> bool:
    """Whether a class of Ray's says what went wrong."""
    return any(cls.__module__.partition(".")[0] == "ray" for cls in type(error).__mro__)


def describe(error: BaseException) -> str:
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
