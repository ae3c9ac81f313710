"""One run at a time in a folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from augment.errors import UserError


@contextmanager
def sole_run(folder: Path) -> Iterator[None]:
    """Hold `folder`, created if it is missing, for this process; the lock ends with the process.

    Raises:
        UserError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{folder}: another run is using it: wait for it or take another folder") from error
        try:
            yield
        finally:
            # A forked child, such as a loader of training data, may still hold the file open.
            fcntl.flock(file, fcntl.LOCK_UN)
