"""A folder for Unix sockets where that of temporary files has too long a path for them, as batch systems make it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from augment.errors import UserError

# Bytes of the longest path that Linux takes for a socket.
_LONGEST = 107
_PARENTS = ("/tmp", "/var/tmp", "/dev/shm")
# Where Python's multiprocessing puts its sockets below the folder of temporary files.
_MULTIPROCESSING = "/pymp-xxxxxxxx/listener-xxxxxxxx"


def short_folder(default: str, below: str) -> str | None:
    """A folder of this user's own for sockets, or None where `default` is short enough.

    Args:
        default: the folder that would be used.
        below: the longest path of a socket inside it, beginning with a slash.

    Raises:
        UserError: there is no short folder that this user can write to.
    """
    if len(os.fsencode(default + below)) <= _LONGEST:
        return None
    for parent in _PARENTS:
        folder = Path(parent, f"lumen-{os.getuid()}")
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            # A folder that somebody else has made under this name would be theirs to read and change.
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with tempfile.TemporaryFile(dir=folder):
                return str(folder)
        except OSError:
            # Not there, or not writable for this user: the next one may be.
            continue
    raise UserError(
        f"TMPDIR={default} is too long for Unix sockets, and none of {', '.join(_PARENTS)} can be written: set TMPDIR "
        f"to a folder with a path of at most {_LONGEST - len(below)} bytes"
    )


@contextmanager
def short_sockets() -> Iterator[None]:
    """Let processes that are started inside the context pass tensors, which they do over sockets.

    Where the folder of temporary files has too long a path, a loader of training data would wait for ever.
    """
    before = tempfile.gettempdir()
    if folder := short_folder(before, _MULTIPROCESSING):
        tempfile.tempdir = folder
    try:
        yield
    finally:
        tempfile.tempdir = before
