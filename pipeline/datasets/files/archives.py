"""A folder in which a dataset's archives were unpacked, each into its own folder, as one tree."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Sequence

from augment.errors import UserError
from pipeline.store.location import Location

# Files that any archive may have, and that no reader uses.
_OF_EACH = ("readme*", "license*", "*.zip", "*.tar*")
# Files of one folder that come in several archives.
_OF_SEVERAL = ("*.json",)


class UnpackedLocation(Location):
    """A root that shows the content of the archives' folders as if it had been unpacked into the root.

    ``archives`` are patterns of those folders, such as ``gtFine_*``, with ``*`` as in a shell and in any case. Paths
    are those of the merged tree; `real` gives the path on disk. Raises UserError naming two folders that would be
    merged and both have images, labels or a file of the same name.
    """

    def __init__(self, url: str, archives: Sequence[str]) -> None:
        super().__init__(url)
        self._real: dict[str, str] = {}
        self._merged: dict[str, list[tuple[str, bool]]] = {}
        found = dict.fromkeys(folder for pattern in archives for folder in self._matching("", pattern.split("/")))
        if found:
            self._merge("", ["", *found])

    def real(self, path: str) -> str:
        """The path on disk, from the root, of a path in the merged tree."""
        start = path
        while start:
            if start in self._real:
                return self._real[start] + path[len(start) :]
            start = start.rpartition("/")[0]
        return path

    def full(self, path: str) -> str:
        """The path for the file system."""
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
        """What is in a directory, sorted: each name, and whether it is a directory; nothing where it is absent."""
        return self._merged[directory] if directory in self._merged else super().entries(directory)

    def find(self, directory: str) -> list[str]:
        """The paths of all files below a directory, at any depth, relative to the root and sorted."""
        if directory not in self._merged:
            real = self.real(directory)
            return sorted(directory + path[len(real) :] for path in super().find(directory))
        inside = [(posixpath.join(directory, name), is_folder) for name, is_folder in self._merged[directory]]
        return sorted(path for child, is_folder in inside for path in (self.find(child) if is_folder else [child]))

    def _matching(self, folder: str, pattern: Sequence[str]) -> list[str]:
        """Folders below a folder that match a pattern, part by part of their path."""
        if not pattern:
            return [folder]
        names = [name for name, is_folder in super().entries(folder) if is_folder and not name.startswith(".")]
        matching = [name for name in names if fnmatch.fnmatchcase(name.lower(), pattern[0].lower())]
        return [path for name in matching for path in self._matching(posixpath.join(folder, name), pattern[1:])]

    def _merge(self, folder: str, places: Sequence[str]) -> None:
        """Record the path on disk of each entry of a folder that is merged from several places."""
        found: dict[str, list[tuple[str, bool]]] = {}
        filled: dict[str, None] = {}
        for place in places:
            for name, is_folder in super().entries(place):
                if name.startswith("."):
                    continue
                found.setdefault(name, []).append((posixpath.join(place, name), is_folder))
                if not (is_folder or _is_one_of(name, (*_OF_EACH, *_OF_SEVERAL))):
                    filled[place] = None
        if folder and len(filled) > 1:
            raise self._ambiguous(list(filled), "files of one folder")
        self._merged[folder] = sorted(
            (name, any(is_folder for _, is_folder in entries)) for name, entries in found.items()
        )
        for name, entries in found.items():
            path, paths = posixpath.join(folder, name), [path for path, _ in entries]
            if len(entries) > 1 and all(is_folder for _, is_folder in entries):
                self._merge(path, paths)
                continue
            if len(entries) > 1 and not _is_one_of(name, _OF_EACH):
                raise self._ambiguous(paths, "one file")
            self._real[path] = paths[0]

    def _ambiguous(self, paths: Sequence[str], what: str) -> UserError:
        return UserError(
            f"ambiguous dataset: {self.url} has {what} in {' and '.join(paths)}: keep one of them, or give the folder "
            "of one as root"
        )


def _is_one_of(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in patterns)
