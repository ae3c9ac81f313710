"""All receipts of a store as one table, without opening a million files each time.

Receipts are the truth. Once they are many, they are folded into ``done/<sha256>.parquet``, a cache that is named
after its own bytes: one row for each receipt, with the stamp (inode, size and time, or the listing of the object store)
of the receipt's file. A listing of ``done`` then shows which rows are still valid. Receipts without a row, or with
another stamp, are read one by one; rows without a receipt are left out; a ledger that does not match its name is
ignored, and replaced at the next folding. Losing it loses nothing.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.store.canonical import canonical_json, file_sha256
from pipeline.store.errors import CorruptStore
from pipeline.store.location import Location
from pipeline.store.paths import done_path
from pipeline.store.receipt import Receipt, stored_fields

# Fewer are read faster without a ledger.
FOLD_AT_LEAST = 1000
# A folding rewrites the whole ledger, so it waits until this share of the receipts is new.
FOLD_SHARE = 1 / 8

_CHUNK = 8192
_TYPES: dict[str, pa.DataType] = {"int": pa.int64(), "float": pa.float64()}


def _type_of(annotation: str) -> pa.DataType:
    return _TYPES.get(annotation.removesuffix(" | None"), pa.string())


_SCHEMA = pa.schema([("stamp", pa.int64()), *((item.name, _type_of(str(item.type))) for item in stored_fields())])
# Columns that hold JSON.
_MAPPINGS = ("failure_reasons", "drop_reasons")


@dataclass(frozen=True)
class Totals:
    """Sums over the receipts of a store; ``failure_reasons`` and ``drop_reasons`` count by kind."""

    shards: int = 0
    samples: int = 0
    failures: int = 0
    dropped: int = 0
    bytes: int = 0
    seconds: float = 0.0
    failure_reasons: Mapping[str, int] = field(default_factory=dict)
    drop_reasons: Mapping[str, int] = field(default_factory=dict)


def receipt_table(location: Location, columns: Sequence[str] | None = None) -> pa.Table:
    """A row for each committed shard, sorted by shard, with these columns of the receipts, ``shard`` first.

    None is all. Raises CorruptStore where a receipt that is read is damaged.
    """
    names = ["shard", *(name for name in columns or _SCHEMA.names if name not in ("shard", "stamp"))]
    return _load(location, names).select(names).sort_by("shard")


def receipts_of(table: pa.Table) -> list[Receipt]:
    """The receipts of a table with all columns."""
    rows = table.select([name for name in table.column_names if name != "stamp"]).to_pylist()
    return [Receipt(**{**row, **{name: json.loads(row[name]) for name in _MAPPINGS}}) for row in rows]


def totals(location: Location) -> Totals:
    """The sums that ``status`` shows."""
    table = _load(location, ["samples", "failures", "dropped", "bytes", "seconds", *_MAPPINGS])
    sums = {name: pc.sum(table[name]).as_py() or 0 for name in ("samples", "failures", "dropped", "bytes", "seconds")}
    failures, drops = (_summed(table[name]) for name in _MAPPINGS)
    return Totals(shards=len(table), failure_reasons=failures, drop_reasons=drops, **sums)


def _summed(reasons: pa.ChunkedArray) -> dict[str, int]:
    """The counts by kind over a column of mappings as JSON."""
    total: Counter[str] = Counter()
    for entry in pc.value_counts(reasons).to_pylist():
        for reason, count in json.loads(entry["values"]).items():
            total[reason] += count * entry["counts"]
    return dict(total)


def fold(location: Location) -> bool:
    """Write a new ledger if enough receipts are not in the old one; returns whether it did."""
    current, unread, stamps = _current(location, _folded(location, ["shard", "stamp"]))
    if len(unread) < max(FOLD_AT_LEAST, FOLD_SHARE * len(current)):
        return False
    old = location.names("done", ".parquet")
    scratch = location.scratch("ledger.parquet")
    try:
        folded = _folded(location, _SCHEMA.names)
        kept = folded.filter(pc.is_in(folded["shard"], current["shard"]))
        # In the order of the listing, and part by part to disk: sorting would hold all of them twice.
        with scratch.open("wb") as stream:
            with pq.ParquetWriter(stream, _SCHEMA, compression="zstd") as writer:
                for part in (kept, *_read_receipts(location, unread, stamps, _SCHEMA)):
                    writer.write_table(part)
            os.fsync(stream.fileno())
        name = file_sha256(scratch)
        location.publish(scratch, ledger_path(name))
    finally:
        scratch.unlink(missing_ok=True)
    location.remove_many([ledger_path(other) for other in old if other != name])
    return True


def ledger_path(name: str) -> str:
    """The path of the ledger with that digest."""
    return f"done/{name}.parquet"


def ledger_faults(location: Location, receipts: Mapping[str, Receipt]) -> Iterator[str]:
    """A line for each damaged ledger, and for each of its rows that contradicts its receipt."""
    for name in location.names("done", ".parquet"):
        folded = _read_ledger(location, name, _SCHEMA.names)
        if folded is None:
            yield f"{ledger_path(name)}: its sha256 is not its name"
            continue
        current, _, _ = _current(location, folded)
        for row in receipts_of(current):
            if row != receipts.get(row.shard, row):
                yield f"{ledger_path(name)}: the row of {row.shard} differs from its receipt"


def _load(location: Location, columns: Sequence[str]) -> pa.Table:
    """Shard, stamp and these columns of every receipt."""
    names = list(dict.fromkeys(["shard", "stamp", *columns]))
    folded = _folded(location, names)
    current, unread, stamps = _current(location, folded)
    return pa.concat_tables([current, *_read_receipts(location, unread, stamps, folded.schema)])


def _current(location: Location, folded: pa.Table) -> tuple[pa.Table, list[str], list[int]]:
    """The rows that are still valid, and shard and stamp of the receipts that are not among them."""
    shards, stamps = location.stamps("done", ".json")
    listed, stamp = pa.array(shards, pa.string()), pa.array(stamps, pa.int64())
    del shards, stamps
    position = pc.index_in(listed, folded["shard"])
    holds = pc.fill_null(pc.equal(folded["stamp"].take(position), stamp), False)
    gone = pc.invert(holds)
    return folded.take(position.filter(holds)), listed.filter(gone).to_pylist(), stamp.filter(gone).to_pylist()


def _folded(location: Location, columns: Sequence[str]) -> pa.Table:
    """These columns of the ledger; no rows where no ledger matches its name.

    Two exist only while one replaces the other, and then either will do.
    """
    for name in location.names("done", ".parquet"):
        if (table := _read_ledger(location, name, columns)) is not None:
            return table
    return _schema(columns).empty_table()


def _read_ledger(location: Location, name: str, columns: Sequence[str]) -> pa.Table | None:
    try:
        with location.fetched(ledger_path(name)) as path:
            if file_sha256(path) != name:
                return None
            return pq.read_table(path, columns=list(columns), partitioning=None).cast(_schema(columns))
    except (FileNotFoundError, ValueError, pa.ArrowException):
        # Another process has replaced it, or another version of this program has written it.
        return None


def _read_receipts(
    location: Location, shards: Sequence[str], stamps: Sequence[int], schema: pa.Schema
) -> Iterator[pa.Table]:
    pairs = iter(zip(shards, stamps, strict=True))
    while chunk := list(islice(pairs, _CHUNK)):
        data = location.read_many([done_path(shard) for shard, _ in chunk])
        rows = [
            _row(parse_receipt(location, shard, found), stamp)
            for (shard, stamp), found in zip(chunk, data, strict=True)
        ]
        yield pa.Table.from_pylist(rows, schema=schema)


def parse_receipt(location: Location, shard: str, data: bytes) -> Receipt:
    """The receipt of a shard from its bytes; raises CorruptStore, naming the file."""
    try:
        receipt = Receipt.from_bytes(data)
    except CorruptStore as error:
        raise CorruptStore(f"{location.url}/{done_path(shard)}: {error}") from error
    if receipt.shard != shard:
        raise CorruptStore(f"{location.url}/{done_path(shard)}: the receipt of {receipt.shard}")
    return receipt


def _row(receipt: Receipt, stamp: int) -> dict[str, Any]:
    row = {**vars(receipt), "stamp": stamp}
    for name in _MAPPINGS:
        row[name] = canonical_json(row[name]).decode() if row[name] else "{}"
    return row


def _schema(columns: Sequence[str]) -> pa.Schema:
    return pa.schema([_SCHEMA.field(name) for name in columns])
