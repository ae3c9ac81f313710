"""Files that are where images or labels are expected, and that the reader does not read: which, and why."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from augment.errors import UserError
from pipeline.datasets.files.decoding import IMAGE_SUFFIXES
from pipeline.datasets.files.tree import Tree
from pipeline.datasets.pairing.faults import FaultCollector
from pipeline.datasets.pairing.places import Place, holds
from pipeline.datasets.record import Role

_LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".heic", ".heif", ".jxl")
_OTHER_IMAGES = (
    *(".heic", ".heif", ".jxl", ".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".psd", ".exr", ".hdr"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".dcm"),
)
_OTHER_LABELS = (".npy", ".npz", ".mat", ".json", ".xml", ".txt", ".svg", ".nii")
LABEL_SUFFIXES = (*IMAGE_SUFFIXES, *_OTHER_IMAGES, *_OTHER_LABELS)
_SUFFIXES: dict[Role, tuple[str, ...]] = {
    "image": (*IMAGE_SUFFIXES, *_OTHER_IMAGES),
    "label": LABEL_SUFFIXES,
}


@dataclass(frozen=True)
class Unread:
    """Sorted paths of a split's files that are not read, by suffix; ``read`` are the suffixes that are."""

    split: str
    role: Role
    by_suffix: Mapping[str, tuple[str, ...]]
    read: tuple[str, ...]

    def __str__(self) -> str:
        """One line: the number of files, the first of each suffix, and why they are not read."""
        count = sum(map(len, self.by_suffix.values()))
        what = f"{count} files of images are" if self.role == "image" else f"{count} images have labels that are"
        groups = [
            f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''} ({self._why(suffix)})"
            for suffix, paths in self.by_suffix.items()
        ]
        remedy = "convert them or move them away" if self.role == "image" else "convert them"
        return f"split {self.split!r}: {what} not read: {', '.join(groups)}; {remedy}"

    def to_json(self) -> dict[str, Any]:
        """All paths, as plain values."""
        paths = [path for found in self.by_suffix.values() for path in found]
        return {"split": self.split, "role": self.role, "files": paths, "why": str(self)}

    def _why(self, suffix: str) -> str:
        if self.role == "label" and suffix in _LOSSY:
            return f"{suffix[1:].upper()} is lossy and changes class ids: labels here are {_either(self.read)}"
        if suffix in IMAGE_SUFFIXES:
            return f"{self.role}s of this kind of dataset are {_either(self.read)}"
        return f"{suffix[1:].upper()} is not read: {self.role}s are {_either(self.read)}"


_UNREAD = FaultCollector[Unread]("unread")

# Context that gives what readers would refuse as not read.
collecting_unread = _UNREAD.collect


def check_unread(
    tree: Tree,
    split: str,
    images: Mapping[str, str],
    labels: Mapping[str, str],
    image: Place,
    label: Place | None = None,
) -> None:
    """Refuse a split with files that have the name of an image or a label and are not read as one.

    ``images`` and ``labels`` are the paths of those that are read, by name. Raises UserError that names such files:
    images without a readable one of that name, and labels of images that have no other. Inside
    ``collecting_unread`` it raises nothing.
    """
    # Where images and labels share a folder, a file is meant as an image only if a label has its name.
    beside = any(holds(image.folder, path) for path in labels.values())
    wanted = labels.keys() if beside else None
    _check(tree, split, "image", image, lambda name, _: name not in images and (wanted is None or name in wanted))
    if label is not None:
        check_unread_labels(tree, split, images, labels, label)


def check_unread_labels(
    tree: Tree, split: str, images: Mapping[str, str], labels: Mapping[str, str], place: Place
) -> None:
    """Check labels only; see ``check_unread``."""
    if without := images.keys() - labels.keys():
        _check(tree, split, "label", place, lambda name, path: name in without and images[name] != path)


def common_ending(images: Collection[str], labels: Collection[str]) -> str | None:
    """The ending, such as ``_mask``, of all labels without an image after the name of one; None if they have none."""
    alone = sorted(set(labels) - set(images))
    if not alone:
        return None
    named = [name for name in images if alone[0].startswith(name)]
    ending = alone[0].removeprefix(max(named, key=len)) if named else ""
    return ending if ending and all(name.removesuffix(ending) in images for name in alone) else None


def _check(tree: Tree, split: str, role: Role, place: Place, is_meant: Callable[[str, str], bool]) -> None:
    suffixes = tuple(f"{place.ending}{suffix}" for suffix in _SUFFIXES[role] if suffix not in place.suffixes)
    found: dict[str, list[str]] = {}
    for path in tree.files(place.folder, suffixes):
        if is_meant(place.name_of(path), path):
            found.setdefault(f".{path.rpartition('.')[2].lower()}", []).append(path)
    if not found:
        return
    unread = Unread(split, role, {suffix: tuple(paths) for suffix, paths in found.items()}, place.suffixes)
    if (collected := _UNREAD.current) is None:
        raise UserError(str(unread))
    collected.append(unread)


def _either(suffixes: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(suffixes[:-1]), suffixes[-1])))
