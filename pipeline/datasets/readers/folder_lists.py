"""Text files of a plain folder: lists of a split's images, and the file of classes."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Mapping, Sequence

from augment.errors import UserError
from pipeline.datasets.files.tree import Tree, enumerate_some, without_mark

SPLIT = "{split}"
CLASSES_FILES = ("classes.txt", "classes.csv", "classes.json")
# As Roboflow exports it, with each split's images.
CLASSES_BESIDE_IMAGES = "_classes.csv"


def find_classes_file(tree: Tree, stated: str | None, images: str, splits: Sequence[str]) -> str | None:
    """The path of the file of classes; None without one.

    ``stated`` is its path in the options, ``images`` the template of the images' folders. Raises UserError for several
    files, and if those of the splits differ.
    """
    if stated is not None:
        return _same_in_all(tree, [stated.replace(SPLIT, split) for split in splits]) if SPLIT in stated else stated
    found = [name for name in (*CLASSES_FILES, CLASSES_BESIDE_IMAGES) if tree.location.exists(name)]
    if len(found) > 1:
        raise UserError(f"{tree} has {' and '.join(found)}: keep one, or name it in dataset.folder.classes")
    if found:
        return found[0]
    folders = dict.fromkeys(posixpath.normpath(images.replace(SPLIT, split)) for split in splits)
    beside = [posixpath.join(folder, CLASSES_BESIDE_IMAGES) for folder in folders]
    return _same_in_all(tree, [path for path in beside if tree.location.exists(path)])


def _same_in_all(tree: Tree, paths: Sequence[str]) -> str | None:
    """The first of these files, after a check that all are the same."""
    there = [path for path in paths if tree.location.exists(path)]
    if not there:
        # The error of opening it says that it is missing.
        return next(iter(paths), None)
    contents = [data.splitlines() for data in tree.location.read_many(there)]
    if other := next((path for path, lines in zip(there, contents, strict=True) if lines != contents[0]), None):
        raise UserError(
            f"{tree.at(other)} and {tree.at(there[0])} differ: one file of classes is for all splits; name it in "
            "dataset.folder.classes"
        )
    return there[0]


def listed_splits(tree: Tree, lists: str) -> list[str]:
    """Names of ``{split}`` in the lists on disk, sorted; raises UserError for a template without ``{split}``."""
    before, place, after = lists.partition(SPLIT)
    if not place:
        raise UserError(f"dataset.folder.lists={lists}: give a place for the split's name, such as 'lists/{SPLIT}.txt'")
    parent, _, start = before.rpartition("/")
    end, _, rest = after.partition("/")
    names = sorted(
        name[len(start) : len(name) - len(end)]
        for name, is_folder in tree.location.entries(parent)
        if is_folder == bool(rest)
        and name.startswith(start)
        and name.endswith(end)
        and len(name) > len(start) + len(end)
    )
    return [name for name in names if tree.location.exists(lists.replace(SPLIT, name))]


def read_list(tree: Tree, path: str, images: Mapping[str, str], labels: Mapping[str, str]) -> set[str]:
    """The names in a list, among those of images and labels, which are paths by name.

    A line is the name or the path of an image, with or without its suffix, relative to the root or the images' folder,
    or without folders. The part after a space, such as the path of the mask, is ignored unless the name has a space.
    Raises UserError naming a list that cannot be read, is empty, or names missing images.
    """
    try:
        text = without_mark(tree.location.read(path)).decode()
    except FileNotFoundError as error:
        raise UserError(f"no list {tree.at(path)}: see dataset.folder.lists") from error
    except UnicodeDecodeError as error:
        raise UserError(f"damaged text: {tree.at(path)}: {error}") from error
    # Tools such as find begin every path with ./
    stripped = [line.strip().removeprefix("./") for line in text.splitlines()]
    lines = [unicodedata.normalize("NFC", line) for line in stripped if line]
    if not lines:
        raise UserError(f"{tree.at(path)} names no image: expected a name a line")
    known = _spellings(images, labels)
    chosen = {line: known.get(line) or known.get(line.split()[0]) for line in lines}
    if absent := [line for line, name in chosen.items() if not name]:
        raise UserError(
            f"{tree.at(path)} names {len(absent)} of {len(chosen)} images that do not exist, such as "
            f"{enumerate_some(absent, 3)}: found {len(images)} images, such as {next(iter(images.values()), 'none')}"
        )
    if twice := [line for line, name in chosen.items() if name and len(name) > 1]:
        raise UserError(f"{tree.at(path)}: {twice[0]} is the name of several images: give the path of each")
    return {next(iter(names)) for names in chosen.values() if names}


def _spellings(images: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, set[str]]:
    """Spelling in a line -> the names that it may mean; full names take precedence over short ones."""
    full: dict[str, set[str]] = {}
    short: dict[str, set[str]] = {}
    for found in (labels, images):
        for name, stored in found.items():
            path = unicodedata.normalize("NFC", stored)
            suffix = posixpath.splitext(path)[1]
            full.setdefault(name, set()).add(name)
            for spelling in (name + suffix, path, path.removesuffix(suffix)):
                full.setdefault(spelling, set()).add(name)
            last = posixpath.basename(name)
            for spelling in (last, last + suffix, posixpath.basename(path)):
                short.setdefault(spelling, set()).add(name)
    return {**short, **full}
