"""What every export format offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline.export.source import Item
from pipeline.store import JSON


@dataclass(frozen=True)
class Written:
    """A sample that has been written: its image's path, what the store said of it, and what the format notes of it."""

    file_name: str
    metadata: Mapping[str, JSON]
    notes: dict[str, Any] = field(default_factory=dict)


class Format(Protocol):
    """Writes the samples of a source to a destination."""

    def named(self, items: Sequence[Item]) -> list[Item]:
        """All items of the store, called as the format wants it."""
        ...

    def check(self, items: Sequence[Item]) -> None:
        """Raise UserError where the format cannot hold these items, the ones to export, together."""
        ...

    def write(self, item: Item) -> Written:
        """Write the files of one sample; called from several threads."""
        ...

    def collect(self, item: Item, written: Written) -> None:
        """Take up what was noted of a sample; called from one thread, in order."""
        ...

    def finish(self) -> None:
        """Write what is of all samples together."""
        ...
