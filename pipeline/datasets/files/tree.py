"""The files of a dataset, in a folder or at any fsspec URL."""

from __future__ import annotations

import codecs
import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from augment.errors import UserError
from pipeline.datasets.files.archives import UnpackedLocation
from pipeline.datasets.files.decoding import Decoding
from pipeline.datasets.record import RecordError, Role, one_line
from pipeline.store.location import Location

NO_FOLDER = "no such folder"


class Tree:
    """A dataset's root; paths below it have forward slashes, hidden files are skipped. Picklable.

    ``archives`` are patterns of folders in the root that archives may have been unpacked in; their files are found as
    if they were in the root. ``decoding`` applies to its images.
    """

    def __init__(self, root: str | Path, archives: Sequence[str] = (), decoding: Decoding | None = None) -> None:
        self.location = UnpackedLocation(str(root), archives) if archives else Location(str(root))
        self.decoding = decoding or Decoding()

    def __str__(self) -> str:
        return self.location.url

    def at(self, path: str) -> str:
        """A path below the root as messages name it."""
        real = self.location.real(path) if isinstance(self.location, UnpackedLocation) else path
        return f"{self}/{real}" if real else str(self)

    def folders(self, folder: str = "") -> list[str]:
        """Names of the folders in a folder, sorted; empty if it does not exist."""
        return [name for name, is_folder in self._entries(folder) if is_folder]

    def files(self, folder: str, suffixes: str | tuple[str, ...]) -> list[str]:
        """Paths of all files below a folder, at any depth, with one of the suffixes in any case; sorted.

        A folder with such a name counts as a file, and reading it is an error. Raises UserError for a folder that is
        linked into itself.
        """
        endings = tuple(suffix.lower() for suffix in ((suffixes,) if isinstance(suffixes, str) else suffixes))
        return sorted(path for path in self._below(folder, endings) if path.lower().endswith(endings))

    def found_in(self, folder: str = "") -> str:
        """Describe the content of a folder in a few words."""
        entries = self._entries(folder)
        if not entries:
            # An object store has no empty folders.
            exists = self.location.is_local and Path(self.location.full(folder)).is_dir()
            return "an empty folder" if exists else NO_FOLDER
        return enumerate_some([name + "/" * is_folder for name, is_folder in entries])

    def read(self, path: str, role: Role) -> bytes:
        """All bytes of an image or label file; raises RecordError if it is no file, empty or too large."""
        try:
            size = self._size(path, role)
            if size == 0:
                raise RecordError(f"empty {role}: {self.at(path)} has no bytes")
            if size > self.decoding.max_bytes:
                raise RecordError(
                    f"bomb-sized {role}: {self.at(path)} has {size} bytes, more than {self.decoding.max_bytes}, "
                    f"8 for each pixel of dataset.max_pixels={self.decoding.max_pixels}: raise it if the file is sound"
                )
            return self.location.read_ranges(path, [(0, size)])[0]
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RecordError(f"missing {role}: {self.at(path)} is not there") from error
        except OSError as error:
            if not self.location.is_local:
                raise
            raise RecordError(f"unreadable {role}: {self.at(path)}: {one_line(error)}") from error

    def read_jsons(self, paths: Sequence[str]) -> list[Any]:
        """The contents of JSON files, fetched concurrently; raises UserError naming one that is missing or damaged."""
        try:
            found = self.location.read_many(paths)
        except (FileNotFoundError, IsADirectoryError) as error:
            raise UserError(f"a file is missing in {self}: {one_line(error)}") from error
        return [self._parsed(path, data) for path, data in zip(paths, found, strict=True)]

    def _parsed(self, path: str, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError as error:
            raise RecordError(f"damaged JSON: {self.at(path)}: {one_line(error)}") from error

    def _entries(self, folder: str) -> list[tuple[str, bool]]:
        return [entry for entry in self.location.entries(folder) if not entry[0].startswith(".")]

    def _below(self, folder: str, endings: tuple[str, ...]) -> Iterator[str]:
        if not self.location.is_local:
            yield from (path for path in self.location.find(folder) if "/." not in f"/{path}")
            return
        for name, is_folder in self._entries(folder):
            path = f"{folder}/{name}" if folder else name
            if is_folder and not name.lower().endswith(endings):
                self._require_no_loop(path)
                yield from self._below(path, endings)
            else:
                yield path

    def _require_no_loop(self, path: str) -> None:
        # Running `ln -s` twice leaves such a link in the target folder.
        folder = Path(self.location.full(path))
        if folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{self.at(path)} is a link to a folder that contains it: remove it")

    def _size(self, path: str, role: Role) -> int:
        if not self.location.is_local:
            return self.location.size(path)
        status = os.stat(self.location.full(path))  # noqa: PTH116 - called for every image
        if stat.S_ISDIR(status.st_mode):
            raise RecordError(f"folder instead of {role}: {self.at(path)}")
        # Reading a pipe would wait forever.
        if not stat.S_ISREG(status.st_mode):
            raise RecordError(f"special file instead of {role}: {self.at(path)}")
        return status.st_size


def without_mark(data: bytes) -> bytes:
    """The bytes of a text file in UTF-8, without the byte order mark that some editors write."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16").encode()
    return data.removeprefix(codecs.BOM_UTF8)


def enumerate_some(names: Sequence[str], most: int = 5) -> str:
    """Join the first few names, and count the rest."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
