"""Which shards a store should have: `inventory.json`, by which a lost shard is told from one not made yet.

Shards are committed in any order, so that a number which is missing says nothing. A run notes before its first unit
which shards it was ``asked`` for, and after its last that all of them were ``made``, once and for all: whatever run
extends the store afterwards, one of those that has no receipt is lost. ``verify`` reads it, and whatever tells a store
that lacks shards from one that has changed.
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

# By name, the first and the last number of every stretch without a gap, in order: a million shards are a few numbers.
Stretches: TypeAlias = Mapping[str, list[list[int]]]


@dataclass(frozen=True)
class Inventory:
    """The shards that the last run was asked for, and those that were all there at the end of a run."""

    asked: Stretches = field(default_factory=dict)
    made: Stretches = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The bytes of the file, sealed by their own digest."""
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
    """Note which shards a run is to leave there; raises CorruptStore where the inventory is damaged."""
    found = read_inventory(location)
    _replace(location, found, Inventory(stretches(shards), found.made))


def note_made(location: Location) -> None:
    """Note that all shards that were asked for are there; raises CorruptStore where the inventory is damaged."""
    found = read_inventory(location)
    _replace(location, found, Inventory(found.asked, stretches(chain(names(found.asked), names(found.made)))))


def read_inventory(location: Location) -> Inventory:
    """The inventory of a store, an empty one where no run has written any; raises CorruptStore, naming the file."""
    try:
        return Inventory.from_bytes(location.read(INVENTORY))
    except FileNotFoundError:
        return Inventory()
    except CorruptStore as error:
        raise CorruptStore(f"{location.url}/{INVENTORY}: {error}; remove it, the next run writes it anew") from error


def is_whole(location: Location, shards: Collection[str]) -> bool:
    """Whether ``shards``, those there are, are all that were asked for or made; raises CorruptStore."""
    inventory, listed = read_inventory(location), set(shards)
    return listed.issuperset(chain(names(inventory.asked), names(inventory.made)))


def lost(location: Location, inventory: Inventory, shards: Collection[str]) -> Iterator[str]:
    """A line for each shard that was there at the end of a run and is not among ``shards``, those there are."""
    listed = set(shards)
    for shard in names(inventory.made):
        # Looked for once more: a retry that goes on meanwhile replaces receipts.
        if shard not in listed and not location.exists(done_path(shard)):
            yield f"{done_path(shard)}: missing, though the shard was made; lumen run makes it again"


def stretches(shards: Iterable[str]) -> dict[str, list[list[int]]]:
    """Names of shards in any order as stretches of numbers."""
    found: dict[str, list[list[int]]] = {}
    for shard in shards:
        name, _, digits = shard.rpartition("-")
        runs, number = found.setdefault(name, []), int(digits)
        # Plans count upwards, so that a stretch grows and no list of all numbers is ever held.
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return {name: _joined(runs) for name, runs in found.items()}


def size(found: Stretches) -> int:
    """How many shards these stretches hold."""
    return sum(last - first + 1 for runs in found.values() for first, last in runs)


def names(found: Stretches) -> Iterator[str]:
    """The shards of these stretches, sorted by name and number."""
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
