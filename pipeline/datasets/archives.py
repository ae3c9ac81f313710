"""A dataset's folder in which archives were unpacked, each into a folder of its own, seen as one tree."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Sequence

from augment.errors import UserError
from pipeline.store.location import Location

# Files that every archive has, and no reader reads.
_OF_EACH = ("readme*", "license*", "*.zip", "*.tar*")


class UnpackedLocation(Location):
    """A root in which what lies in the folders of archives is found as if they had been unpacked into the root.

    ``archives`` are patterns of those folders, such as ``gtFine_*``, with ``*`` as in a shell and letters of either
    case. Paths are those of the one tree; `real` is where a path lies below the root. Raises UserError where two
    folders have a file of the same path and other content, naming both.
    """

    def __init__(self, url: str, archives: Sequence[str]) -> None:
        super().__init__(url)
        self._real: dict[str, str] = {}
        self._merged: dict[str, list[tuple[str, bool]]] = {}
        found = dict.fromkeys(folder for pattern in archives for folder in self._matching("", pattern.split("/")))
        if found:
            self._merge("", ["", *found])

    def real(self, path: str) -> str:
        """Where a path lies below the root."""
        start = path
        while start:
            if start in self._real:
                return self._real[start] + path[len(start) :]
            start = start.rpartition("/")[0]
        return path

    def full(self, path: str) -> str:
        """The path as the file system knows it."""
        return super().full(self.real(path))

    def exists(self, path: str) -> bool:
        """Whether the file is there."""
        return path in self._merged or super().exists(path)

    def names(self, directory: str, suffix: str) -> list[str]:
        """The sorted names in a directory that end with ``suffix``, without it; none where it is absent."""
        if directory not in self._merged:
            return super().names(directory, suffix)
        names = (name for name, _ in self._merged[directory])
        return sorted(name[: len(name) - len(suffix)] for name in names if name.endswith(suffix))

    def entries(self, directory: str) -> list[tuple[str, bool]]:
        """What lies in a directory, sorted: each name, and whether it is a directory; nothing where it is absent."""
        return self._merged[directory] if directory in self._merged else super().entries(directory)

    def find(self, directory: str) -> list[str]:
        """The paths of all files below a directory, at any depth, relative to the root and sorted."""
        if directory not in self._merged:
            real = self.real(directory)
            return sorted(directory + path[len(real) :] for path in super().find(directory))
        inside = [(posixpath.join(directory, name), is_folder) for name, is_folder in self._merged[directory]]
        return sorted(path for child, is_folder in inside for path in (self.find(child) if is_folder else [child]))

    def _matching(self, folder: str, pattern: Sequence[str]) -> list[str]:
        """Folders below a folder whose path matches a pattern part by part."""
        if not pattern:
            return [folder]
        names = [name for name, is_folder in super().entries(folder) if is_folder and not name.startswith(".")]
        matching = [name for name in names if fnmatch.fnmatchcase(name.lower(), pattern[0].lower())]
        return [path for name in matching for path in self._matching(posixpath.join(folder, name), pattern[1:])]

    def _merge(self, folder: str, places: Sequence[str]) -> None:
        """Note where each entry of a folder lies that several places have a part of."""
        found: dict[str, list[tuple[str, bool]]] = {}
        for place in places:
            for name, is_folder in super().entries(place):
                if not name.startswith("."):
                    found.setdefault(name, []).append((posixpath.join(place, name), is_folder))
        self._merged[folder] = [(name, any(is_folder for _, is_folder in entries)) for name, entries in found.items()]
        self._merged[folder].sort()
        for name, entries in found.items():
            path, paths = posixpath.join(folder, name), [path for path, _ in entries]
            if len(entries) > 1 and all(is_folder for _, is_folder in entries):
                self._merge(path, paths)
                continue
            if len(entries) > 1 and not self._is_one(name, paths):
                raise UserError(
                    f"{self.url} has {' and '.join(paths)}, which an archive or a copy of it has as the same file: "
                    "keep one of their folders"
                )
            self._real[path] = paths[0]

    def _is_one(self, name: str, paths: Sequence[str]) -> bool:
        """Whether it does not matter which of these files is read."""
        if any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in _OF_EACH):
            return True
        first, *others = (Location.read(self, path) for path in paths)
        return all(other == first for other in others)
