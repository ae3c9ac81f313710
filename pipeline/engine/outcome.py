"""What a stage made of a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from pipeline.store import Sample


@dataclass(frozen=True)
class Ok:
    """A sample to write; its key may be new, where a stage makes several samples of one.

    ``notes`` say what happened to it in a few words that many samples share; the summary of the run counts them.
    """

    sample: Sample
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dropped:
    """A sample left out on purpose; the reason starts with its kind and a colon, and is counted by kind."""

    key: str
    reason: str


@dataclass(frozen=True)
class Failed:
    """A sample that could not be read or processed: it is quarantined and counts against the budget."""

    key: str
    reason: str
    traceback: str = ""


Outcome: TypeAlias = Ok | Dropped | Failed
