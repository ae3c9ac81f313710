"""What an adapter was trained on, as a file in its folder; an adapter without one reads neural layouts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from augment.conditioning.options import LAYOUT, TITLES
from augment.errors import UserError
from augment.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from augment.conditioning.conditioning import Conditioning

CONDITIONING_FILE = "conditioning.json"
# What is recorded of each kind beside kind and channels.
_RECORDED = {
    "canny": {"low", "high"},
    "soft_edge": {"sigma"},
    "label": {"classes", "ignore_index"},
    "depth": {"model", "revision"},
}
# Where the model of a depth map was loaded from does not matter: its revision does.
_PLACES = {"model"}


def save_conditioning(conditioning: Conditioning, folder: Path) -> None:
    """Record in the folder of an adapter what it reads; of neural layouts, the basis beside it is the record."""
    if conditioning.kind != LAYOUT:
        write_whole(folder / CONDITIONING_FILE, json.dumps(dict(conditioning.facts()), indent=2) + "\n")


def saved_conditioning(folder: Path) -> Mapping[str, Any]:
    """The `facts` of what the adapter in a folder reads; of neural layouts only the kind.

    Raises:
        UserError: the file is damaged, or of a later version.
    """
    path = folder / CONDITIONING_FILE
    if not path.is_file():
        return {"kind": LAYOUT}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        known = facts["kind"] in TITLES and isinstance(facts["channels"], int)
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}): restore it, or train the adapter again") from error
    if not known:
        raise UserError(f"{path}: conditioning {facts['kind']!r} is not one of {', '.join(TITLES)}")
    if missing := sorted(_RECORDED.get(facts["kind"], set()) - set(facts)):
        raise UserError(f"{path} is damaged (no {', '.join(missing)}): restore it, or train the adapter again")
    found: Mapping[str, Any] = facts
    return found


def changed_facts(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """How the facts of two conditionings differ, in words; empty if they do not. Facts that one lacks do not count."""
    return ", ".join(
        f"{name} {_short(saved[name])} and not {_short(wanted[name])}"
        for name in saved
        if name in wanted and name not in _PLACES and saved[name] != wanted[name]
    )


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
