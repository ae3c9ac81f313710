"""A folder for Unix sockets, for when the path of TMPDIR is too long for them, as in some batch systems."""

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
    """A private folder for sockets, or None if `default` is short enough.

    Args:
        default: the folder used otherwise.
        below: the longest path of a socket inside it, beginning with a slash.

    Raises:
        UserError: no short folder is writable.
    """
    if len(os.fsencode(default + below)) <= _LONGEST:
        return None
    for parent in _PARENTS:
        folder = Path(parent, f"lumen-{os.getuid()}")
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            # Another user could read and change a folder that they created under this name.
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with tempfile.TemporaryFile(dir=folder):
                return str(folder)
        except OSError:
            # Missing, or not writable for this user: try the next one.
            continue
    raise UserError(
        f"TMPDIR={default} is too long for Unix sockets, and none of {', '.join(_PARENTS)} can be written: set TMPDIR "
        f"to a folder with a path of at most {_LONGEST - len(below)} bytes"
    )


@contextmanager
def short_sockets() -> Iterator[None]:
    """Let processes that start inside the context exchange tensors, which they do over sockets.

    If the path of TMPDIR were too long, a data loader would wait forever.
    """
    before = tempfile.gettempdir()
    if folder := short_folder(before, _MULTIPROCESSING):
        tempfile.tempdir = folder
    try:
        yield
    finally:
        tempfile.tempdir = before
