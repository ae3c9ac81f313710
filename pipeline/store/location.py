"""A directory at any fsspec URL, with the few operations a store needs."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from augment.errors import UserError

SCRATCH = ".scratch"


class Location:
    """A root directory; every path below is relative to it.

    A name becomes visible only with all its bytes: on a local disk by rename, elsewhere by one upload.
    """

    def __init__(self, url: str) -> None:
        try:
            self.fs, root = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UserError(f"cannot open {url}: {error}") from error
        self.root = root.rstrip("/")
        self.is_local = isinstance(self.fs, LocalFileSystem)
        self.url: str = self.root if self.is_local else self.fs.unstrip_protocol(self.root)

    def full(self, path: str) -> str:
        """The path as the file system knows it."""
        return f"{self.root}/{path}"

    def exists(self, path: str) -> bool:
        """Whether the file is there now, past any listing cache."""
        self.fs.invalidate_cache()
        return bool(self.fs.exists(self.full(path)))

    def names(self, directory: str, suffix: str) -> list[str]:
        """The sorted names in a directory that end with ``suffix``, without it; none where it is absent."""
        self.fs.invalidate_cache()
        try:
            paths = self.fs.ls(self.full(directory), detail=False)
        except FileNotFoundError:
            return []
        names = (path.rstrip("/").rsplit("/", 1)[-1] for path in paths)
        return sorted(name[: -len(suffix)] for name in names if name.endswith(suffix))

    def read(self, path: str) -> bytes:
        """All bytes of a file; raises FileNotFoundError."""
        return bytes(self.fs.cat_file(self.full(path)))

    def read_many(self, paths: Sequence[str]) -> list[bytes]:
        """All bytes of each file, fetched concurrently where that is possible; raises FileNotFoundError."""
        if self.is_local or not paths:
            return [self.read(path) for path in paths]
        found = self.fs.cat([self.full(path) for path in paths], on_error="raise")
        by_path = {self.fs._strip_protocol(path): data for path, data in found.items()}
        return [bytes(by_path[self.full(path)]) for path in paths]

    def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of each (offset, size) of one file."""
        full = self.full(path)
        starts = [offset for offset, _ in ranges]
        ends = [offset + size for offset, size in ranges]
        return [bytes(data) for data in self.fs.cat_ranges([full] * len(ranges), starts, ends, on_error="raise")]

    def scratch(self, name: str) -> Path:
        """A fresh path on a local disk for bytes that are not to be seen yet.

        Its name says which process owns it, so that ``sweep`` can tell what a killed one left behind.
        """
        unique = f"{name}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp"
        directory = Path(self.root, SCRATCH) if self.is_local else Path(tempfile.gettempdir())
        directory.mkdir(parents=True, exist_ok=True)
        return directory / unique

    def publish(self, scratch: Path, path: str) -> None:
        """Give a finished scratch file its final name, replacing what stood there."""
        if self.is_local:
            target = Path(self.full(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch.replace(target)
        else:
            self.fs.put_file(str(scratch), self.full(path))
            scratch.unlink()

    def write(self, path: str, data: bytes) -> None:
        """Write a whole file, replacing what stood there."""
        if not self.is_local:
            self.fs.pipe_file(self.full(path), data)
            return
        scratch = self.scratch(path.rsplit("/", 1)[-1])
        try:
            with scratch.open("wb") as stream:
                stream.write(data)
                os.fsync(stream.fileno())
            self.publish(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)

    def remove(self, path: str) -> None:
        """Remove a file if it is there."""
        if self.exists(path):
            self.fs.rm_file(self.full(path))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the root for one committer at a time, on a local disk; the lock dies with its process."""
        if not self.is_local:
            yield
            return
        Path(self.root).mkdir(parents=True, exist_ok=True)
        with Path(self.root, ".lock").open("wb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def sweep(self) -> int:
        """Remove the scratch files of processes of this machine that are gone; returns how many."""
        directory = Path(self.root, SCRATCH)
        if not self.is_local or not directory.is_dir():
            return 0
        stale = [path for path in directory.glob("*.tmp") if _is_orphan(path.name)]
        for path in stale:
            path.unlink(missing_ok=True)
        return len(stale)


def _is_orphan(scratch_name: str) -> bool:
    rest, pid, _, _ = scratch_name.rsplit(".", 3)
    if not rest.endswith(f".{socket.gethostname()}"):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
