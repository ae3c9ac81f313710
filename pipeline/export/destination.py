"""The destination of an export: a folder, which appears when it is complete, or any fsspec URL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from augment.errors import UserError
from pipeline.store.location import Location


class Destination:
    """Takes files in any order and from any thread; made by ``new_destination``."""

    def __init__(self, location: Location) -> None:
        self._location = location

    def write(self, path: str, data: bytes) -> None:
        """Write a file; ``path`` is relative to the destination, with forward slashes."""
        if self._location.is_local:
            # Not renamed on its own: the whole folder gets its name at the end.
            self._file(path).write_bytes(data)
        else:
            self._location.write(path, data)

    @contextmanager
    def lines(self, path: str) -> Iterator[TextIO]:
        """A text file to write to; it appears when the block ends without an exception."""
        scratch = self._file(path) if self._location.is_local else self._location.scratch(path)
        try:
            with scratch.open("w", encoding="utf-8", newline="\n") as stream:
                yield stream
            if not self._location.is_local:
                self._location.publish(scratch, path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise

    def _file(self, path: str) -> Path:
        file = Path(self._location.full(path))
        file.parent.mkdir(parents=True, exist_ok=True)
        return file


@contextmanager
def new_destination(url: str) -> Iterator[Destination]:
    """Give an empty destination to write to.

    A local folder gets its name when the block ends without an exception, otherwise nothing is left. Object stores
    cannot rename: files appear there at once, and stay if the block fails.

    Raises UserError if the destination is not empty.
    """
    location = Location(url)
    if location.is_local and Path(location.root).is_file():
        raise UserError(f"{location.url} is a file: name a folder that is absent or empty")
    if found := location.entries(""):
        raise UserError(f"{location.url} is not empty (it has {found[0][0]}): name a folder that is absent or empty")
    if not location.is_local:
        yield Destination(location)
        return
    folder = Path(location.root)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield Destination(Location(str(partial)))
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
