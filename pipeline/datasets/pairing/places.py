"""Where the files of a dataset are expected, and the names that images and labels share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from augment.errors import UserError
from pipeline.datasets.files.tree import Tree


def stem(path: str) -> str:
    """The name of a file without folders and suffix."""
    # As PurePosixPath has it, in a tenth of the time: a set has hundreds of thousands.
    return path.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def by_name(paths: Iterable[str], name_of: Callable[[str], str]) -> dict[str, str]:
    """The paths by what ``name_of`` makes of each; raises UserError where two have one name."""
    named: dict[str, str] = {}
    for path in paths:
        if (other := named.setdefault(name_of(path), path)) != path:
            raise UserError(f"{other} and {path} have the same name but for the suffix: remove one of them")
    return named


def holds(folder: str, path: str) -> bool:
    """Whether a path is a folder or below it."""
    return not folder or path == folder or path.startswith(f"{folder}/")


@dataclass(frozen=True)
class Place:
    """Where files of one role are expected: anywhere below ``folder``.

    Attributes:
        folder: below the dataset's root.
        suffixes: of the files, such as ``.png``, in any case.
        ending: of the name, before the suffix.
        name_of: gives the name that an image and its label share, from the path of either.
        expected: describes these files in messages; empty for the folder and the first two suffixes.
    """

    folder: str
    suffixes: tuple[str, ...]
    ending: str = ""
    name_of: Callable[[str], str] = stem
    expected: str = ""

    def find(self, tree: Tree) -> dict[str, str]:
        """The paths of the files by name; raises UserError where two have one name."""
        return by_name(tree.files(self.folder, tuple(f"{self.ending}{end}" for end in self.suffixes)), self.name_of)

    def describe(self, tree: Tree) -> str:
        """The files that are expected, as messages describe them."""
        patterns = (f"*{self.ending}{suffix}" for suffix in self.suffixes[:2])
        return self.expected or f"{tree.at(self.folder)}/{' or '.join(patterns)}"
