"""Looking into a dataset's folders, and saying in one line what is not as expected."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from augment.errors import UserError

_SHOWN = 5
# The one split whose annotations owners withhold.
UNLABELLED_SPLIT = "test"


def require_root(root: Path, expected: str) -> None:
    """Raise UserError unless ``root`` is a folder; ``expected`` says what it should hold."""
    if not root.exists():
        raise UserError(f"dataset root {root} does not exist: it should hold {expected}")
    if not root.is_dir():
        raise UserError(f"dataset root {root} is a file: it should be a folder that holds {expected}")


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in ``folder``, sorted, hidden ones left out; none where it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def found_in(folder: Path) -> str:
    """Say in a few words what a folder holds."""
    if not folder.is_dir():
        return "no such folder"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    return enumerate_some(names) if names else "an empty folder"


def enumerate_some(names: list[str]) -> str:
    """Join the first few names, and count the rest."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def require_split(split: str, splits: list[str], folder: Path) -> None:
    """Raise UserError for a split that is not on disk, naming those that are."""
    if split not in splits:
        has = f"has the splits {', '.join(splits)}" if splits else "has no split"
        raise UserError(f"no split {split!r}: expected the folder {folder}, but the dataset {has}")


def check_pairs(
    split: str, images: Mapping[str, Path], labels: Mapping[str, Path], image_pattern: str, label_pattern: str
) -> None:
    """Hold images and labels of a split, both by name, against each other.

    Raises UserError unless each image has its label and each label its image. A ``test`` split may have no
    label at all. The patterns say where files of each kind are expected.
    """
    if not images:
        found = f"{len(labels)} labels in {label_pattern}" if labels else "none, and no label either"
        raise UserError(f"split {split!r} has no image: expected {image_pattern}, found {found}")
    unlabelled = sorted(images.keys() - labels.keys())
    orphans = sorted(labels.keys() - images.keys())
    counts = f"found {len(images)} images and {len(labels)} labels"
    if unlabelled and (labels or split != UNLABELLED_SPLIT):
        raise UserError(
            f"split {split!r}: {len(unlabelled)} of its images have no label: expected {label_pattern}, "
            f"{counts}, the first without is {images[unlabelled[0]].name}"
        )
    if orphans:
        raise UserError(
            f"split {split!r}: {len(orphans)} of its labels have no image: expected {image_pattern}, "
            f"{counts}, the first without is {labels[orphans[0]].name}"
        )
