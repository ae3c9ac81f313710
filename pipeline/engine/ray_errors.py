"""What Ray raises, as one line with its cause and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.engine.errors import RunFailed

_AGAIN = "give the same command again; it goes on from what is done"
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
    """The cause in the first line of Ray's message, and what to do."""
    name = type(error).__name__
    lines = str(error).strip().splitlines()
    remedy = next((_REMEDIES[cls.__name__] for cls in type(error).__mro__ if cls.__name__ in _REMEDIES), _AGAIN)
    return f"Ray stopped the work ({name}: {lines[0].rstrip('.')}): {remedy}" if lines else f"{name}: {remedy}"
