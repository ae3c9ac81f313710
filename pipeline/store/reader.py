"""Random access to the samples of a store."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from tarfile import BLOCKSIZE, LENGTH_NAME
from typing import Any

import pyarrow as pa

from pipeline.store.codec import decode
from pipeline.store.errors import CorruptStore
from pipeline.store.paths import tar_path
from pipeline.store.sample import Sample
from pipeline.store.store import Store


class SampleReader:
    """Reads samples by key with ranged reads, straight from the tar shards.

    ``members`` limits ``read`` to these extensions (such as "png" and "json"); None reads all. The index is
    read once, so samples committed later are not seen. Raises CorruptStore where two shards have the same key.
    A copy sent to another process reads the index again there.
    """

    def __init__(self, store: Store, members: Collection[str] | None = None) -> None:
        self.store = store
        self.members = None if members is None else frozenset(members)
        self.index: pa.Table = store.index()
        self._tars = {shard: tar_path(shard, attempt) for shard, attempt in store.attempts().items()}
        self.keys: list[str] = self.index["key"].to_pylist()
        self._shards: list[str] = self.index["shard"].to_pylist()
        self._rows = {key: row for row, key in enumerate(self.keys)}
        if len(self._rows) < len(self.keys):
            twice = next(key for row, key in enumerate(self.keys) if self._rows[key] != row)
            raise CorruptStore(f"{store.url}: key {twice} is there twice")
        self._extents = {
            name.removesuffix(":offset"): (
                self.index[name].to_pylist(),
                self.index[f"{name.removesuffix(':offset')}:size"].to_pylist(),
            )
            for name in self.index.column_names
            if name.endswith(":offset")
        }

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __reduce__(self) -> tuple[Any, ...]:
        return SampleReader, (self.store, self.members)

    def read(self, key: str) -> Sample:
        """The sample; raises KeyError for an unknown key, CorruptStore where its bytes do not decode."""
        return decode(key, self.read_members(key))

    def samples(self, split: str | None = None) -> Iterator[Sample]:
        """Every sample in the order of the keys, or those of one split; reads one at a time."""
        if split is None:
            return map(self.read, self.keys)
        splits = zip(self.keys, self.index["split"].to_pylist(), strict=True)
        return map(self.read, [key for key, found in splits if found == split])

    def read_members(self, key: str) -> dict[str, bytes]:
        """The bytes of the members that ``read`` decodes, by extension; raises KeyError for an unknown key."""
        row = self._rows[key]
        wanted = [
            extension
            for extension, (offsets, _) in self._extents.items()
            if offsets[row] is not None and (self.members is None or extension in self.members)
        ]
        return dict(zip(wanted, self._read(row, wanted), strict=True))

    def read_member(self, key: str, extension: str) -> bytes:
        """The bytes of one member, by one ranged read; raises KeyError where there is no such member."""
        row = self._rows[key]
        if extension not in self._extents or self._extents[extension][0][row] is None:
            raise KeyError(f"{key}.{extension}")
        return self._read(row, [extension])[0]

    def _read(self, row: int, extensions: list[str]) -> list[bytes]:
        # The tar header in front of a member names it. It shows where a shard was made again after this index was read,
        # even if a member of the same size is at that offset now.
        ranges = [
            (self._extents[ext][0][row] - BLOCKSIZE, self._extents[ext][1][row] + BLOCKSIZE) for ext in extensions
        ]
        path = self._tars[self._shards[row]]
        data = self.store.location.read_ranges(path, ranges)
        for extension, (_, size), found in zip(extensions, ranges, data, strict=True):
            member = f"{self.keys[row]}.{extension}"
            if len(found) != size:
                raise CorruptStore(f"{self.store.url}/{path}: {member} is cut short")
            if found[:LENGTH_NAME].rstrip(b"\0") != member.encode()[:LENGTH_NAME]:
                raise CorruptStore(f"{self.store.url}/{path}: {member} is not where it was when the index was read")
        return [found[BLOCKSIZE:] for found in data]
