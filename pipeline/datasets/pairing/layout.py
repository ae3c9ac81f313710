"""Checks that a folder is laid out as a reader expects; errors say in one line what is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from augment.errors import UserError
from pipeline.datasets.files.tree import NO_FOLDER, Tree


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
        raise UserError(f"{tree} is not {what}: expected {expected}, found {tree.found_in()}")


def require_split(split: str, splits: list[str], folder: str) -> None:
    """Raise UserError for a split that is not on disk, naming those that are."""
    if split not in splits:
        has = f"has the splits {', '.join(splits)}" if splits else "has no split"
        may_be_made = split == "val" and "train" in splits
        # The key comes first: what the dataset has may be a long list.
        remedy = "without dataset.held_out.share=0.1, which makes one of 'train', " if may_be_made else ""
        raise UserError(f"no split {split!r}: expected the folder {folder}, but {remedy}the dataset {has}")
