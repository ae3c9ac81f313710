"""Folders that may hold labels of a dataset that is read without any, as their files have the names of images."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from pipeline.datasets.files.tree import Tree
from pipeline.datasets.pairing.places import holds, stem
from pipeline.datasets.pairing.unread_files import LABEL_SUFFIXES, common_ending

# Least share of the files in a folder, or of the images, that have a name in common.
_ALIKE = 0.5


def folders_like_labels(tree: Tree, images: Iterable[str]) -> list[str]:
    """The first file of each folder that seems to hold labels, sorted.

    ``images`` are the paths of those that are read. Folders that differ from an image folder in one part of the path
    are searched, such as ``labels/train`` and ``labels`` for ``images/train``.
    """
    names: dict[str, set[str]] = {}
    for path in images:
        names.setdefault(posixpath.dirname(path), set()).add(stem(path))
    found: dict[str, str] = {}
    for folder, stems in names.items():
        for other in _in_its_place(tree, folder):
            if other in found or any(holds(other, image_folder) for image_folder in names):
                continue
            files = sorted(
                name
                for name, is_folder in tree.location.entries(other)
                if not is_folder and name.lower().endswith(LABEL_SUFFIXES)
            )
            if files and _are_alike(stems, {stem(name) for name in files}):
                found[other] = posixpath.join(other, files[0])
    return sorted(found.values())


def _in_its_place(tree: Tree, folder: str) -> Iterator[str]:
    """Folders that differ from ``folder`` in one part of the path, with the rest of the path and without."""
    parts = PurePosixPath(folder).parts
    for place, part in enumerate(parts):
        before = "/".join(parts[:place])
        for name in tree.folders(before):
            if name != part:
                yield posixpath.join(before, name, *parts[place + 1 :])
                yield posixpath.join(before, name)


def _are_alike(images: set[str], labels: set[str]) -> bool:
    shared = len(images & labels)
    return shared >= _ALIKE * min(len(images), len(labels)) or bool(common_ending(images, labels))
