"""One run at a time in a folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from augment.errors import UserError


@contextmanager
def sole_run(folder: Path) -> Iterator[None]:
    """Hold `folder`, made where it is absent, for this process; the lock dies with it.

    Raises:
        UserError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{folder}: another run is at work there: wait for it or take another folder") from error
        try:
            yield
        finally:
            # A child that was forked meanwhile, such as a loader of training data, holds the file open too.
            fcntl.flock(file, fcntl.LOCK_UN)
