"""The protocol of an export format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline.export.exported_store import Item
from pipeline.store import JSON


@dataclass(frozen=True)
class Written:
    """A written sample: the path of its image, its metadata in the store, and notes of the format."""

    file_name: str
    metadata: Mapping[str, JSON]
    notes: dict[str, Any] = field(default_factory=dict)


class Format(Protocol):
    """Writes the samples of a store to a destination."""

    def named(self, items: Sequence[Item]) -> list[Item]:
        """All items of the store, with names that the format allows."""
        ...

    def check(self, items: Sequence[Item]) -> None:
        """Raise UserError if the format cannot hold the items to export together."""
        ...

    def write(self, item: Item) -> Written:
        """Write the files of one sample; called from several threads."""
        ...

    def collect(self, item: Item, written: Written) -> None:
        """Collect the notes of a sample; called from one thread, in order."""
        ...

    def finish(self) -> None:
        """Write the files for all samples together."""
        ...
