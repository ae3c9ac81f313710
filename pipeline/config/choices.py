"""The groups of configurations in reach of a recipe, and what to suggest in place of an unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path


def choices(folders: Sequence[Path], group: str) -> list[str]:
    """Names that a group offers, e.g. ``camvid`` of ``dataset``; with the group ``""``, the recipes themselves."""
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def groups(folder: Path) -> list[str]:
    """Names of the groups in a folder of recipes, e.g. ``dataset`` and ``backbone``."""
    return sorted({path.parent.name for path in folder.glob("*/*.yaml")})


def suggest(name: str, known: Iterable[str], lead: str = "choose from") -> str:
    """The known names for an unknown one, the nearest first: ``did you mean 'camvid'? choose from ade20k, camvid``."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}{lead} {', '.join(known)}"
