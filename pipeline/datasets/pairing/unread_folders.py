"""Folders beside those of images in a dataset without labels, with files that are named as the images."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from pipeline.datasets.files.tree import Tree
from pipeline.datasets.pairing.places import holds, stem
from pipeline.datasets.pairing.unread_files import LABEL_SUFFIXES, common_ending

# At least this share of the files in a folder, or of the images, have a name in common.
_ALIKE = 0.5


def folders_like_labels(tree: Tree, images: Iterable[str]) -> list[str]:
    """The first file of each folder that looks like one of labels, sorted.

    ``images`` are the paths of those that are read. Looked into are folders in the place of an image folder or of one
    that leads to it, such as ``labels/train`` and ``labels`` for ``images/train``.
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
    """Folders whose path differs from that of ``folder`` in one part, or ends there."""
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
