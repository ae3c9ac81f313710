"""A directory at any fsspec URL, with the few operations a store needs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from augment.errors import UserError
from pipeline.store.backoff import NOT_IMPLEMENTED, status_of, with_backoff
from pipeline.store.errors import CorruptStore

R = TypeVar("R")

SCRATCH = ".scratch"
_REQUESTS = 32
_PRECONDITION_FAILED, _RANGE_NOT_SATISFIABLE = 412, 416


class Location:
    """A root directory; every path below is relative to it.

    A name becomes visible only with all its bytes: on a local disk by rename, elsewhere by one upload. Elsewhere
    every operation is repeated while it fails with a transient error (see ``backoff``), and then raises
    StoreUnavailable; a refusal is a UserError.
    """

    def __init__(self, url: str) -> None:
        if "://" not in url:
            # Without parsing: fsspec reads `::` in a path as a chain of file systems.
            self.fs, root = LocalFileSystem(), str(LocalFileSystem._strip_protocol(url))
        else:
            try:
                # Other processes write here, so a cached listing would be wrong.
                self.fs, root = url_to_fs(url, use_listings_cache=False)
            except (ImportError, ValueError) as error:
                raise UserError(f"cannot open {url}: {error}") from error
        self.root = root.rstrip("/")
        self.is_local = isinstance(self.fs, LocalFileSystem)
        self.url: str = self.root if self.is_local else self.fs.unstrip_protocol(self.root)

    def full(self, path: str) -> str:
        """The path as the file system knows it."""
        return f"{self.root}/{path}"

    def exists(self, path: str) -> bool:
        """Whether the file is there."""
        if self.is_local:
            return os.path.exists(self.full(path))  # noqa: PTH110 - called for every receipt of a run
        try:
            self._call("look at", path, self.fs.info, self.full(path))
        except FileNotFoundError:
            return False
        return True

    def names(self, directory: str, suffix: str) -> list[str]:
        """The sorted names in a directory that end with ``suffix``, without it; none where it is absent."""
        try:
            if self.is_local:
                found = os.listdir(self.full(directory))  # noqa: PTH208 - only names, of a million files
            else:
                paths = self._call("list", directory, self.fs.ls, self.full(directory), detail=False)
                found = [path.rstrip("/").rsplit("/", 1)[-1] for path in paths]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name[: -len(suffix)] for name in found if name.endswith(suffix))

    def stamps(self, directory: str, suffix: str) -> tuple[list[str], list[int]]:
        """The names as in ``names``, unsorted, and for each a number that changes when the file is replaced."""
        try:
            if self.is_local:
                return _local_stamps(self.full(directory), suffix)
            entries = self._call("list", directory, self.fs.ls, self.full(directory), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return [], []
        found = [(entry["name"].rsplit("/", 1)[-1], entry) for entry in entries if entry["name"].endswith(suffix)]
        stamps = [_stamp(sorted((name, str(value)) for name, value in entry.items())) for _, entry in found]
        return [name[: -len(suffix)] for name, _ in found], stamps

    def entries(self, directory: str) -> list[tuple[str, bool]]:
        """The sorted entries of a directory: each name, and whether it is a directory; empty where it is absent."""
        try:
            if self.is_local:
                with os.scandir(self.full(directory)) as found:
                    return sorted((entry.name, entry.is_dir()) for entry in found)
            listed = self._call("list", directory, self.fs.ls, self.full(directory).rstrip("/"), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        # Some object stores list the directory itself, as an empty file.
        itself = self.full(directory).strip("/")
        entries = ((entry["name"].strip("/"), entry["type"] == "directory") for entry in listed)
        return sorted((path.rsplit("/", 1)[-1], is_folder) for path, is_folder in entries if path != itself)

    def find(self, directory: str) -> list[str]:
        """The paths of all files below a directory, at any depth, relative to the root and sorted."""
        found = self._call("list", directory, self.fs.find, self.full(directory))
        return sorted(path.removeprefix(f"{self.root}/") for path in found)

    def read(self, path: str) -> bytes:
        """All bytes of a file; raises FileNotFoundError."""
        if self.is_local:
            with open(self.full(path), "rb", buffering=0) as stream:  # noqa: PTH123 - reads a million receipts
                return stream.read()
        return bytes(self._call("read", path, self.fs.cat_file, self.full(path)))

    def size(self, path: str) -> int:
        """How many bytes a file has; raises FileNotFoundError."""
        return int(self._call("look at", path, self.fs.info, self.full(path))["size"])

    def read_many(self, paths: Sequence[str]) -> list[bytes]:
        """All bytes of each file, fetched concurrently where that is faster; raises FileNotFoundError."""
        return self._each(self.read, paths)

    def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of each (offset, size) of one file, one ranged read each; fewer where the file ends earlier."""
        full = self.full(path)
        if self.is_local:
            # A tenth of the time that fsspec takes, which counts where a training reads single images.
            return _local_ranges(full, ranges)
        starts = [offset for offset, _ in ranges]
        ends = [offset + size for offset, size in ranges]
        try:
            data = self._call("read", path, self.fs.cat_ranges, [full] * len(ranges), starts, ends, on_error="raise")
        except OSError as error:
            if status_of(error) == _RANGE_NOT_SATISFIABLE:
                raise CorruptStore(f"{self.url}/{path} is cut short: {error}") from error
            raise
        return [bytes(found) for found in data]

    @contextmanager
    def fetched(self, path: str) -> Iterator[Path]:
        """The file on a local disk: itself, or a copy for as long as the block lasts; raises FileNotFoundError."""
        if self.is_local:
            yield Path(self.full(path))
            return
        copy = self.scratch(path.rsplit("/", 1)[-1])
        try:
            self._call("read", path, self.fs.get_file, self.full(path), str(copy))
            yield copy
        finally:
            copy.unlink(missing_ok=True)

    def scratch(self, name: str) -> Path:
        """A fresh path on a local disk for bytes that are not visible yet.

        Its name holds the process that owns it, so that ``sweep`` finds the files of killed processes.
        """
        unique = f"{name}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp"
        directory = self._scratch_folder()
        directory.mkdir(parents=True, exist_ok=True)
        return directory / unique

    def publish(self, scratch: Path, path: str) -> None:
        """Give a finished scratch file its final name, replacing any file of that name."""
        if self.is_local:
            target = Path(self.full(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch.replace(target)
        else:
            self._upload(path, self.fs.put_file, str(scratch), self.full(path))
            scratch.unlink()

    def write(self, path: str, data: bytes) -> None:
        """Write a whole file, replacing any file of that name."""
        if not self.is_local:
            self._upload(path, self.fs.pipe_file, self.full(path), data)
            return
        scratch = self.scratch(path.rsplit("/", 1)[-1])
        try:
            with scratch.open("wb") as stream:
                stream.write(data)
                os.fsync(stream.fileno())
            self.publish(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)

    def create(self, path: str, data: bytes) -> bool:
        """Write a whole file unless one of that name exists; False where the existing one holds other bytes.

        Atomic on object stores with conditional uploads: S3, Google Cloud Storage and Azure. A local caller holds
        ``locked``.
        """
        if self.is_local:
            return self._create_unless_seen(path, data)
        try:
            self._upload(path, self.fs.pipe_file, self.full(path), data, mode="create")
        except OSError as error:
            if status_of(error) == NOT_IMPLEMENTED:
                return self._create_unless_seen(path, data)
            if not isinstance(error, FileExistsError) and status_of(error) != _PRECONDITION_FAILED:
                raise
            # The existing file is our own where an earlier try arrived and its answer did not.
            return self.read(path) == data
        return True

    def remove(self, path: str) -> None:
        """Remove a file if it is there."""
        try:
            self._call("remove", path, self.fs.rm_file, self.full(path))
        except FileNotFoundError:
            return

    def remove_many(self, paths: Sequence[str]) -> None:
        """Remove each file that is there."""
        self._each(self.remove, paths)

    def remove_tree(self) -> None:
        """Remove the root with everything below it, if it is there."""
        if not self.is_local:
            with suppress(FileNotFoundError):
                self._call("remove", "", self.fs.rm, self.root, recursive=True)
            return
        # Only files that another process removes at the same time may be missing; every other error is raised.
        while os.path.lexists(self.root):
            with suppress(FileNotFoundError):
                shutil.rmtree(self.root)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the root for one committer at a time, on a local disk; the lock dies with its process."""
        if not self.is_local:
            yield
            return
        Path(self.root).mkdir(parents=True, exist_ok=True)
        with Path(self.root, ".lock").open("wb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            try:
                yield
            finally:
                # Children that were forked meanwhile hold the file open too.
                fcntl.flock(stream, fcntl.LOCK_UN)

    def sweep(self) -> int:
        """Remove the scratch files of processes of this machine that are gone; returns how many."""
        stale = [path for path in self._scratch_folder().glob("*.tmp") if _is_orphan(path.name)]
        for path in stale:
            path.unlink(missing_ok=True)
        return len(stale)

    def _create_unless_seen(self, path: str, data: bytes) -> bool:
        if self.exists(path):
            return self.read(path) == data
        self.write(path, data)
        return True

    def _scratch_folder(self) -> Path:
        if self.is_local:
            return Path(self.root, SCRATCH)
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir(), f"lumen-{os.getuid()}", digest)

    def _call(self, doing: str, path: str, function: Callable[..., R], *args: Any, **options: Any) -> R:
        if self.is_local:
            return function(*args, **options)
        return with_backoff(f"cannot {doing} {self.url}/{path}", function, *args, **options)

    def _upload(self, path: str, function: Callable[..., object], *args: Any, **options: Any) -> None:
        try:
            self._call("write", path, function, *args, **options)
        except FileNotFoundError as error:
            raise UserError(f"cannot write {self.url}/{path}: {error}") from error

    def _each(self, function: Callable[[str], R], paths: Sequence[str]) -> list[R]:
        if self.is_local or len(paths) < 2:
            return [function(path) for path in paths]
        with ThreadPoolExecutor(min(_REQUESTS, len(paths))) as pool:
            return list(pool.map(function, paths))


def _local_ranges(path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    with Path(path).open("rb") as file:
        found = []
        for offset, size in ranges:
            file.seek(offset)
            found.append(file.read(size))
        return found


def _local_stamps(directory: str, suffix: str) -> tuple[list[str], list[int]]:
    names, stamps = [], []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(suffix):
                stat = entry.stat()
                names.append(entry.name[: -len(suffix)])
                stamps.append(_stamp((stat.st_ino, stat.st_mtime_ns, stat.st_size)))
    return names, stamps


def _stamp(parts: object) -> int:
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big", signed=True)


def _is_orphan(scratch_name: str) -> bool:
    rest, *owner = scratch_name.rsplit(".", 3)
    # Scratch files of other machines, and files of other programs.
    if len(owner) < 3 or not owner[0].isdigit() or not rest.endswith(f".{socket.gethostname()}"):
        return False
    try:
        os.kill(int(owner[0]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
