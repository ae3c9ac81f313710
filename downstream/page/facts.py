"""What a run was made with, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from downstream.results import RunResult

# Steps that write the page itself.
_OWN = "report"


@dataclass(frozen=True)
class Cost:
    """What a stage took.

    Attributes:
        name: of the stage.
        amount: what it made.
        worker: seconds of all workers together; None where they are not counted.
        wall: seconds from start to end, over all runs; None where they are not recorded.
    """

    name: str
    amount: str
    worker: float | None
    wall: float | None


def costs(
    stores: Mapping[str, tuple[str, float]],
    judge: RunResult | None,
    runs: Sequence[Mapping[str, Any]],
    sessions: Sequence[Mapping[str, Any]],
) -> list[Cost]:
    """The cost of each stage.

    Args:
        stores: stage -> what it made, and seconds of its workers.
        judge: the training of the judge.
        runs: rows of the comparison.
        sessions: of the run's record; see `pipeline.workflow.session`.
    """
    wall: dict[str, float] = {}
    for session in sessions:
        for name, seconds in session["seconds"].items():
            wall[name] = wall.get(name, 0.0) + seconds
    found: dict[str, tuple[str, float | None]] = {**stores}
    if judge is not None:
        found["judge"] = (f"a training of {judge.iterations} iterations", judge.seconds)
    if runs:
        found["compare"] = (
            f"{len(runs)} trainings of {runs[0]['iterations']} iterations",
            sum(r["seconds"] for r in runs),
        )
    names = [name for name in (*wall, *found) if name != _OWN]
    made_in = {name: found.get(name, ("", None)) for name in dict.fromkeys(names)}
    return [Cost(name, amount, worker, wall.get(name)) for name, (amount, worker) in made_in.items()]


def segmenter_facts(result: RunResult | None) -> dict[str, str]:
    """The segmenter and its settings, by name; empty without a training."""
    if result is None:
        return {}
    options = dict(result.inputs["options"])
    model, weights = options.pop("model"), options.pop("pretrained", None)
    shown = ", ".join(f"{name} {_text(value)}" for name, value in sorted(options.items()) if value is not None)
    return {"segmenter": str(model), "its weights": _weights(weights), "its settings": shown}


def environment_facts(sessions: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """When, with which versions and on what the run was made; what differed between its parts is named in full."""
    shown = {"date": "date", "lumen": "LUMEN", "commit": "commit", "versions": "versions", "machine": "hardware"}
    found = {}
    for name, title in shown.items():
        values = dict.fromkeys(_text(session[name]) for session in sessions if session.get(name))
        if values:
            found[title] = "; ".join(values)
    return found


def _weights(weights: object) -> str:
    if not weights:
        return "random: nothing was pretrained"
    text = str(weights)
    # A file is named by its digest.
    return f"the file with SHA-256 {text[:12]}…" if len(text) == 64 else text


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {of}" for name, of in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " to ".join(map(str, value)) if len(value) == 2 else ", ".join(map(str, value))
    return str(value)
