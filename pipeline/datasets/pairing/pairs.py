"""Images and labels that belong together by name, and those that have no partner."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from augment.errors import UserError
from pipeline.datasets.files.tree import Tree
from pipeline.datasets.pairing.faults import FaultCollector
from pipeline.datasets.pairing.places import Place
from pipeline.datasets.pairing.unread_files import check_unread

# Splits that owners publish without annotations.
UNLABELLED_SPLITS = ("test",)


@dataclass(frozen=True)
class Unpaired:
    """File names of a split's images without a label and of its labels without an image, sorted.

    ``images`` and ``labels`` are the numbers of all of them; the patterns say where they are expected.
    """

    split: str
    images: int
    labels: int
    without_label: tuple[str, ...]
    without_image: tuple[str, ...]
    image_pattern: str
    label_pattern: str

    def to_json(self) -> dict[str, Any]:
        """The counts and all names, as plain values."""
        return {
            "split": self.split,
            "images": self.images,
            "labels": self.labels,
            "images_without_label": list(self.without_label),
            "labels_without_image": list(self.without_image),
        }


_UNPAIRED = FaultCollector[Unpaired]("unpaired")
_IGNORED = FaultCollector[str]("ignored")

# Context that gives what readers would refuse as unpaired.
collecting_unpaired = _UNPAIRED.collect
# Context that gives the paths of labels that are ignored as the folder of their images was emptied.
collecting_ignored = _IGNORED.collect


def note_ignored(paths: Iterable[str]) -> None:
    """Inside ``collecting_ignored`` add the paths of labels that are ignored; outside do nothing."""
    if (ignored := _IGNORED.current) is not None:
        ignored.extend(paths)


def note_unpaired(
    split: str,
    images: Mapping[str, str],
    labels: Mapping[str, str],
    patterns: tuple[str, str],
    *,
    may_lack_labels: bool,
) -> bool:
    """Inside ``collecting_unpaired`` add files without a partner by name, and return True; outside return False.

    ``patterns`` say where images and labels are expected.
    """
    unpaired = _UNPAIRED.current
    if unpaired is None:
        return False
    bare = [] if may_lack_labels else sorted(images.keys() - labels.keys())
    orphans = sorted(labels.keys() - images.keys())
    if bare or orphans or not images:
        without_label = tuple(PurePosixPath(images[name]).name for name in bare)
        without_image = tuple(PurePosixPath(labels[name]).name for name in orphans)
        unpaired.append(Unpaired(split, len(images), len(labels), without_label, without_image, *patterns))
    return True


def check_split(
    tree: Tree,
    split: str,
    images: Mapping[str, str],
    labels: Mapping[str, str],
    image: Place,
    label: Place,
    *,
    unlabelled_splits: Collection[str] = UNLABELLED_SPLITS,
    partly_labelled: bool = False,
    remedy: str = "",
) -> None:
    """Check the images and labels of a split, by name, that were found in these places.

    ``unlabelled_splits`` may have no label at all, and with ``partly_labelled`` any image may lack one. Raises
    UserError for files that are not read (`check_unread`), and for images and labels without a partner (`check_pairs`).
    """
    check_unread(tree, split, images, labels, image, label)
    check_pairs(
        split,
        images,
        labels,
        (image.describe(tree), label.describe(tree)),
        may_lack_labels=partly_labelled or (split in unlabelled_splits and not labels),
        remedy=remedy,
    )


def check_pairs(
    split: str,
    images: Mapping[str, str],
    labels: Mapping[str, str],
    patterns: tuple[str, str],
    *,
    may_lack_labels: bool,
    remedy: str = "",
) -> None:
    """Check that each label of a split has its image and, unless it ``may_lack_labels``, each image its label.

    ``patterns`` say where images and labels are expected; ``remedy`` is added to the error for images without labels.
    Raises UserError, but not inside ``collecting_unpaired``.
    """
    if note_unpaired(split, images, labels, patterns, may_lack_labels=may_lack_labels):
        return
    image_pattern, label_pattern = patterns
    if not images:
        found = f"{len(labels)} labels in {label_pattern}" if labels else "none, and no label either"
        raise UserError(f"split {split!r} has no image: expected {image_pattern}, found {found}")
    unlabelled = sorted(images.keys() - labels.keys())
    orphans = sorted(labels.keys() - images.keys())
    # Without a single pair the names are wrong, and leaving all of them out does not help.
    leave_out = "; dataset.only_labelled=true leaves them out" if images.keys() & labels.keys() else ""
    counts = f"found {len(images)} images and {len(labels)} labels"
    if unlabelled and not may_lack_labels:
        raise UserError(
            f"split {split!r}: {len(unlabelled)} of its images have no label: expected {label_pattern}, "
            f"{counts}, the first without is {images[unlabelled[0]]}{remedy}{leave_out}"
        )
    if orphans:
        raise UserError(
            f"split {split!r}: {len(orphans)} of its labels have no image: expected {image_pattern}, "
            f"{counts}, the first without is {labels[orphans[0]]}{leave_out}"
        )
