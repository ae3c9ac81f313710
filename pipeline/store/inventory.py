"""Which shards a store should have: `inventory.json` separates a lost shard from one that is not made yet.

Shards are committed in any order, so a gap in their numbers means nothing. Before its first unit a run notes the
shards that it plans (``asked``), and after its last that all of them were ``made``. That stays noted whatever run
extends the store afterwards: a shard that was made and has no receipt is lost.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeAlias

from pipeline.store.canonical import JSON, canonical_json, fingerprint
from pipeline.store.errors import CorruptStore
from pipeline.store.location import Location
from pipeline.store.paths import INVENTORY, done_path

# By name, the first and last number of every range without a gap, in order: a million shards take a few numbers.
Ranges: TypeAlias = Mapping[str, list[list[int]]]


@dataclass(frozen=True)
class Inventory:
    """The shards that the last run planned, and those that a run has completed."""

    asked: Ranges = field(default_factory=dict)
    made: Ranges = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The bytes of the file, which hold their own digest."""
        content = self._content()
        return canonical_json({**content, "digest": fingerprint(content)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Inventory:
        """The inventory of these bytes; raises CorruptStore unless ``to_bytes`` gives exactly them."""
        try:
            fields = json.loads(data)
            del fields["digest"]
            inventory = cls(**fields)
            whole = inventory.to_bytes() == data
        except (ValueError, TypeError, KeyError) as error:
            raise CorruptStore(f"not an inventory ({error})") from error
        if not whole:
            raise CorruptStore("the inventory does not match its own digest")
        return inventory

    def _content(self) -> dict[str, JSON]:
        return {"asked": dict(self.asked), "made": dict(self.made)}


def note_asked(location: Location, shards: Iterable[str]) -> None:
    """Note the shards that a run plans; raises CorruptStore where the inventory is damaged."""
    found = read_inventory(location)
    _replace(location, found, Inventory(ranges_of(shards), found.made))


def note_made(location: Location) -> None:
    """Note that all planned shards are made; raises CorruptStore where the inventory is damaged."""
    found = read_inventory(location)
    _replace(
        location, found, Inventory(found.asked, ranges_of(chain(shard_names(found.asked), shard_names(found.made))))
    )


def read_inventory(location: Location) -> Inventory:
    """The inventory of a store, empty where no run has written one; raises CorruptStore, naming the file."""
    try:
        return Inventory.from_bytes(location.read(INVENTORY))
    except FileNotFoundError:
        return Inventory()
    except CorruptStore as error:
        raise CorruptStore(f"{location.url}/{INVENTORY}: {error}; remove it, the next run writes it again") from error


def is_whole(location: Location, shards: Collection[str]) -> bool:
    """Whether ``shards``, the committed ones, are all that were planned or made; raises CorruptStore."""
    inventory, listed = read_inventory(location), set(shards)
    return listed.issuperset(chain(shard_names(inventory.asked), shard_names(inventory.made)))


def lost_shards(location: Location, inventory: Inventory, shards: Collection[str]) -> Iterator[str]:
    """A line for each shard that was made and is not among ``shards``, the committed ones."""
    listed = set(shards)
    for shard in shard_names(inventory.made):
        # Checked again: a concurrent retry replaces receipts.
        if shard not in listed and not location.exists(done_path(shard)):
            yield f"{done_path(shard)}: missing, though the shard was made; lumen run makes it again"


def ranges_of(shards: Iterable[str]) -> dict[str, list[list[int]]]:
    """Names of shards, in any order, as ranges of numbers."""
    found: dict[str, list[list[int]]] = {}
    for shard in shards:
        name, _, digits = shard.rpartition("-")
        runs, number = found.setdefault(name, []), int(digits)
        # Plans count upwards, so a range grows and no list of all numbers is ever held.
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return {name: _joined(runs) for name, runs in found.items()}


def count_shards(found: Ranges) -> int:
    """The number of shards in these ranges."""
    return sum(last - first + 1 for runs in found.values() for first, last in runs)


def shard_names(found: Ranges) -> Iterator[str]:
    """The shards of these ranges, sorted by name and number."""
    for name, runs in sorted(found.items()):
        for first, last in runs:
            for number in range(first, last + 1):
                yield f"{name}-{number:06d}"


def _joined(runs: Iterable[list[int]]) -> list[list[int]]:
    joined: list[list[int]] = []
    for first, last in sorted(runs):
        if joined and first <= joined[-1][1] + 1:
            joined[-1][1] = max(last, joined[-1][1])
        else:
            joined.append([first, last])
    return joined


def _replace(location: Location, old: Inventory, new: Inventory) -> None:
    if new != old:
        location.write(INVENTORY, new.to_bytes())
