"""What to suggest in place of an unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(name: str, known: Iterable[str], lead: str = "choose from") -> str:
    """The known names for an unknown one, the nearest first: ``did you mean 'camvid'? choose from ade20k, camvid``."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}{lead} {', '.join(known)}"
