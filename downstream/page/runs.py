"""The trainings behind a comparison: their settings and what each counted in single images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from downstream.results import RESULT, RunResult, read_result
from downstream.statistics.counts import Run

# A mix with images of one k, such as `real+synthetic[k=5]`.
_OF_ONE_K = re.compile(r"(.*)\[k=(\d+)\]")


def runs_in(folder: Path, rows: Sequence[Mapping[str, Any]]) -> dict[Run, Path]:
    """Mix and seed -> folder of the training, for those rows of a comparison with a training in `folder`.

    A training is known by its fingerprint: folders of other runs, and of other spellings of a mix, may be there too.
    """
    found = {
        result.fingerprint: path.parent
        for path in sorted(folder.glob(f"*/{RESULT}"))
        if (result := read_result(path.parent)) is not None
    }
    wanted = {(row["mix"], row["seed"]): row["fingerprint"] for row in rows}
    return {run: found[name] for run, name in wanted.items() if name in found}


def mixes_by_k(mixes: Sequence[str]) -> dict[int, str]:
    """k -> the mix with images of that k alone, of mixes that are equal otherwise; the family with most ks."""
    families: dict[str, dict[int, str]] = {}
    for mix in mixes:
        if found := _OF_ONE_K.fullmatch(mix):
            families.setdefault(found[1], {})[int(found[2])] = mix
    return max(families.values(), key=len, default={})


def settings_of(runs: Mapping[Run, Path]) -> RunResult | None:
    """The first training, for the settings that all share; None if there is none."""
    return next((result for path in runs.values() if (result := read_result(path)) is not None), None)
