"""How a run ends early: failed units, lost devices, full disks, and how many bad samples a run allows."""

from __future__ import annotations

import errno
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn, TypeAlias, TypeVar

from pydantic import Field

from augment.options import Options
from pipeline.engine.stage import WorkUnit
from pipeline.store import Store

R = TypeVar("R")

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class RunFailed(Exception):  # noqa: N818 - it says what happened
    """The run stopped before its plan was done; what is committed stays, and a new run goes on from there."""


class UnitFailed(RunFailed):
    """A work unit, or the set-up of its worker, raised; ``traceback`` is that of the worker."""

    def __init__(self, shard: str, reason: str, traceback: str) -> None:
        super().__init__(shard, reason, traceback)
        self.shard = shard
        self.reason = reason
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.shard}: {self.reason}"


GiveUp: TypeAlias = Callable[[WorkUnit, str, str], R]


def raise_at_fault(unit: WorkUnit, reason: str, traceback: str) -> NoReturn:
    """Give a unit up by ending the run."""
    raise UnitFailed(unit.shard, reason, traceback)


class DeviceFault(Exception):  # noqa: N818 - it says what happened
    """This process can no longer use its accelerator; the unit must run again in a fresh process."""


def is_device_fault(error: BaseException) -> bool:
    """Whether CUDA reports an error that outlives the call; running out of memory is not one."""
    text = str(error)
    return "CUDA error" in text and "out of memory" not in text


def is_disk_full(error: OSError) -> bool:
    """Whether the disk, or the user's quota on it, had no room left."""
    return error.errno in _DISK_FULL


@contextmanager
def explain_full_disk(store: Store, shard: str) -> Iterator[None]:
    """Turn the error of a full disk into a UnitFailed that names the folder, its free space and the remedy."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        # Shards of a remote store are written to a local disk first.
        folder = store.location.root if store.location.is_local else tempfile.gettempdir()
        usage = shutil.disk_usage(folder)
        reason = (
            f"no space left at {folder}: {usage.free >> 10} KiB free of {usage.total >> 10} KiB: "
            "make room, then give the same command again; it goes on from what is done"
        )
        raise UnitFailed(shard, reason, traceback.format_exc()) from error


class ErrorBudget(Options):
    """How many bad samples a stage may meet before the run stops."""

    rate: float = Field(default=0.01, ge=0, le=1, description="share of the samples")
    minimum: int = Field(default=10, ge=0, description="failures that are always allowed")

    def allowed(self, samples: int) -> int:
        """How many of this many samples may fail."""
        return max(self.minimum, int(self.rate * samples))

    def __str__(self) -> str:
        return f"{self.rate:.3g} of the samples, at least {self.minimum}"


def top_reasons(reasons: Mapping[str, int], limit: int = 3) -> str:
    """The most common reasons with their counts, most common first, in one line."""
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    text = ", ".join(f"{count} x {reason}" for reason, count in ordered[:limit])
    return text + (f", and {len(ordered) - limit} more kinds" if len(ordered) > limit else "")
