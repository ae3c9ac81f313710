"""Looking into a dataset's folders, and saying in one line what is not as expected."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from augment.errors import UserError
from pipeline.datasets.files.tree import NO_FOLDER, Tree
from pipeline.datasets.files.unpaired import tell_unpaired

# Splits whose annotations owners keep to themselves.
UNLABELLED_SPLITS = ("test",)


def require_root(tree: Tree, expected: str) -> None:
    """Raise UserError unless the root is a folder; ``expected`` says what it should hold."""
    if tree.location.is_local and Path(str(tree)).is_file():
        raise UserError(f"dataset root {tree} is a file: it should be a folder that holds {expected}")
    if tree.found_in() == NO_FOLDER:
        raise UserError(f"dataset root {tree} does not exist: it should hold {expected}")


def require_layout(tree: Tree, splits: Callable[[], list[str]], what: str, expected: str) -> None:
    """Raise UserError unless the root is a folder with splits, saying ``what`` it is not and what was ``expected``."""
    require_root(tree, expected)
    if not splits():
        raise UserError(f"{tree} is no {what}: expected {expected}, found {tree.found_in()}")


def require_split(split: str, splits: list[str], folder: str) -> None:
    """Raise UserError for a split that is not on disk, naming those that are."""
    if split not in splits:
        has = f"has the splits {', '.join(splits)}" if splits else "has no split"
        may_be_made = split == "val" and "train" in splits
        # The key stands first: what the dataset has may be a long list.
        remedy = "without dataset.held_out.share=0.1, which makes one of 'train', " if may_be_made else ""
        raise UserError(f"no split {split!r}: expected the folder {folder}, but {remedy}the dataset {has}")


def by_name(paths: Iterable[str], name_of: Callable[[str], str]) -> dict[str, str]:
    """The paths by what ``name_of`` makes of each; raises UserError where two have one name."""
    named: dict[str, str] = {}
    for path in paths:
        if (other := named.setdefault(name_of(path), path)) != path:
            raise UserError(f"{other} and {path} have the same name but for the suffix: remove one of them")
    return named


def stem(path: str) -> str:
    """The name of a file without folders and suffix."""
    # As PurePosixPath has it, for a tenth of the time: a set has hundreds of thousands.
    return path.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def check_pairs(
    split: str,
    images: Mapping[str, str],
    labels: Mapping[str, str],
    image_pattern: str,
    label_pattern: str,
    *,
    unlabelled_splits: Collection[str] = UNLABELLED_SPLITS,
    partly_labelled: bool = False,
    remedy: str = "",
) -> None:
    """Hold images and labels of a split, both by name, against each other.

    Raises UserError unless each image has its label and each label its image. A split of ``unlabelled_splits`` may
    have no label at all; where a set is ``partly_labelled``, any image may lack one. The patterns say where files of
    each kind are expected, ``remedy`` what to do where images have no label by intent. Nothing is refused inside
    ``telling_unpaired``.
    """
    may_lack = partly_labelled or (split in unlabelled_splits and not labels)
    if tell_unpaired(split, images, labels, image_pattern, label_pattern, may_lack):
        return
    if not images:
        found = f"{len(labels)} labels in {label_pattern}" if labels else "none, and no label either"
        raise UserError(f"split {split!r} has no image: expected {image_pattern}, found {found}")
    unlabelled = sorted(images.keys() - labels.keys())
    orphans = sorted(labels.keys() - images.keys())
    # Where nothing is a pair, names are at fault, and leaving all out helps nobody.
    leave_out = "; dataset.only_labelled=true leaves them out" if images.keys() & labels.keys() else ""
    counts = f"found {len(images)} images and {len(labels)} labels"
    if unlabelled and not may_lack:
        raise UserError(
            f"split {split!r}: {len(unlabelled)} of its images have no label: expected {label_pattern}, "
            f"{counts}, the first without is {images[unlabelled[0]]}{remedy}{leave_out}"
        )
    if orphans:
        raise UserError(
            f"split {split!r}: {len(orphans)} of its labels have no image: expected {image_pattern}, "
            f"{counts}, the first without is {labels[orphans[0]]}{leave_out}"
        )
