"""The parquet tables beside the shards: the position of each member, and the samples that failed."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store.canonical import JSON, canonical_json
from pipeline.store.sample import Failure

_INT64 = range(-(2**63), 2**63)
_QUARANTINE = pa.schema([(name, pa.string()) for name in ("key", "shard", "stage", "reason", "traceback")])


def index_row(
    key: str, shard: str, extents: Mapping[str, tuple[int, int]], metadata: Mapping[str, JSON]
) -> dict[str, Any]:
    """The row of a sample: its key, shard, the (offset, size) of each member and its scalar metadata."""
    row: dict[str, Any] = {"key": key, "shard": shard}
    for extension, (offset, size) in sorted(extents.items()):
        row[f"{extension}:offset"] = offset
        row[f"{extension}:size"] = size
    for name, value in sorted(metadata.items()):
        if value is None or isinstance(value, str | int | float):
            row[name] = value
    return row


def index_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The index of one shard, rows in the order given.

    A metadata column is boolean, int64, float64 or string; where values of one name mix kinds (or exceed
    int64) it is a string column of their JSON.
    """
    names = list(dict.fromkeys(["key", "shard", *(name for row in rows for name in row)]))
    columns = [_column([row.get(name) for row in rows]) for name in names]
    if not rows:
        columns = [pa.array([], pa.string()), pa.array([], pa.string())]
    return pa.table(dict(zip(names, columns, strict=True)))


def merge_tables(tables: Sequence[pa.Table]) -> pa.Table:
    """All rows of several index tables; columns that differ in type get a common one, absent columns are null."""
    if not tables:
        return index_table([])
    types: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for column in table.schema:
            types.setdefault(column.name, set()).add(column.type)
    common = {name: _common_type(kinds) for name, kinds in types.items()}
    aligned = [
        table.cast(pa.schema([(name, common[name]) for name in table.column_names]), safe=False) for table in tables
    ]
    return pa.concat_tables(aligned, promote_options="default")


def quarantine_table(shard: str, failures: Sequence[Failure]) -> pa.Table:
    """A row for each failure: key, shard, stage, reason, traceback."""
    rows = [
        {"key": f.key, "shard": shard, "stage": f.stage, "reason": f.reason, "traceback": f.traceback} for f in failures
    ]
    return pa.Table.from_pylist(rows, schema=_QUARANTINE)


def table_to_bytes(table: pa.Table) -> bytes:
    """The table as one parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def table_from_bytes(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of one parquet file, or these columns of it; raises pyarrow.ArrowException where it is damaged."""
    return pq.read_table(io.BytesIO(data), columns=columns)


def _column(values: Sequence[Any]) -> pa.Array:
    values = [as_text(value) if isinstance(value, int) and value not in _INT64 else value for value in values]
    kinds = {_kind(value) for value in values if value is not None}
    if len(kinds) <= 1:
        return pa.array(values, kinds.pop() if kinds else pa.null())
    if kinds == {pa.int64(), pa.float64()} and all(value is None or float(value) == value for value in values):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array([None if value is None else as_text(value) for value in values], pa.string())


def _kind(value: Any) -> pa.DataType:
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        return pa.int64()
    return pa.float64() if isinstance(value, float) else pa.string()


def as_text(value: Any) -> str:
    """A scalar as a string column holds it: strings unchanged, anything else as JSON."""
    return value if isinstance(value, str) else canonical_json(value).decode("utf-8")


def _common_type(kinds: set[pa.DataType]) -> pa.DataType:
    kinds = kinds - {pa.null()}
    if len(kinds) <= 1:
        return kinds.pop() if kinds else pa.null()
    return pa.float64() if kinds == {pa.int64(), pa.float64()} else pa.string()
