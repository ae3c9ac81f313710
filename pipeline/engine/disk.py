"""A full disk, told so that it can be helped."""

from __future__ import annotations

import errno
import shutil
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.engine.errors import UnitFailed
from pipeline.store import Store

_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_disk_full(error: OSError) -> bool:
    """Whether there was no room left, on the disk or in the user's share of it."""
    return error.errno in _FULL


@contextmanager
def full_disk_told(store: Store, shard: str) -> Iterator[None]:
    """Raise UnitFailed for a full disk inside the context: where, how much is free, and what to do."""
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
