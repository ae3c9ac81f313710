"""The groups of configurations in reach of a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def choices(folders: Sequence[Path], group: str) -> list[str]:
    """Names that a group offers, e.g. ``camvid`` of ``dataset``; with the group ``""``, the recipes themselves."""
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def groups(folder: Path) -> list[str]:
    """Names of the groups in a folder of recipes, e.g. ``dataset`` and ``backbone``."""
    return sorted({path.parent.name for path in folder.glob("*/*.yaml")})
