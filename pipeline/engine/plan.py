"""Plans: units in columns, so that a million of them take little memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import overload

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.engine.stage import WorkUnit
from pipeline.store import FingerprintMismatch, Store, canonical_json

# How many units are Python objects at a time.
_CHUNK = 1 << 16


class Plan(Sequence[WorkUnit]):
    """Units in order, made on access.

    Columns: ``shard``, ``keys`` and ``params`` as JSON. Keys and parameters that several units share, such as those
    of one source at many ks and variants, are held once.
    """

    def __init__(self, columns: pa.RecordBatch) -> None:
        self._columns = columns

    @classmethod
    def of(cls, units: Iterable[WorkUnit]) -> Plan:
        """The plan of these units, which may be a stream; a plan is returned unchanged."""
        if isinstance(units, Plan):
            return units
        shards: list[str] = []
        keys: dict[tuple[str, ...], int] = {}
        params: dict[str, int] = {}
        key_rows: list[int] = []
        param_rows: list[int] = []
        for unit in units:
            shards.append(unit.shard)
            key_rows.append(keys.setdefault(unit.keys, len(keys)))
            param_rows.append(params.setdefault(canonical_json(dict(unit.params)).decode(), len(params)))
        return cls(
            pa.record_batch(
                {
                    "shard": pa.array(shards, pa.string()),
                    "keys": _shared(key_rows, pa.array(list(keys), pa.list_(pa.string()))),
                    "params": _shared(param_rows, pa.array(list(params), pa.string())),
                }
            )
        )

    @property
    def shards(self) -> pa.Array:
        """The names of the shards, in order."""
        return self._columns["shard"]

    def __len__(self) -> int:
        return int(self._columns.num_rows)

    @overload
    def __getitem__(self, index: int) -> WorkUnit: ...

    @overload
    def __getitem__(self, index: slice) -> Plan: ...

    def __getitem__(self, index: int | slice) -> WorkUnit | Plan:
        if isinstance(index, slice):
            return self._of_rows(self._columns.take(pa.array(range(len(self))[index], pa.int64())))
        return self._unit(range(len(self))[index])

    def where(self, mask: pa.Array) -> Plan:
        """The units at which the mask is true."""
        return self._of_rows(self._columns.filter(mask))

    def without(self, shards: Collection[str]) -> Plan:
        """The units of other shards than these."""
        return self.where(pc.invert(pc.is_in(self.shards, pa.array(shards, pa.string()))))

    def fingerprints(self) -> pa.ChunkedArray:
        """The fingerprint of each unit, without making the units.

        Shared keys are hashed once: in the canonical JSON of a unit they come first.
        """
        keys, params = self._columns["keys"].dictionary, self._columns["params"].dictionary
        begun = [hashlib.sha256(b'{"keys":' + canonical_json(found)) for found in keys.to_pylist()]
        ends = [f',"params":{text},"shard":'.encode() for text in params.to_pylist()]

        def digest(shard: str, key: int, param: int) -> str:
            digest = begun[key].copy()
            digest.update(ends[param] + canonical_json(shard) + b"}")
            return digest.hexdigest()

        chunks = (self._columns.slice(start, _CHUNK) for start in range(0, len(self), _CHUNK))
        rows = ((chunk["shard"], chunk["keys"].indices, chunk["params"].indices) for chunk in chunks)
        return pa.chunked_array(
            [pa.array(map(digest, *(column.to_pylist() for column in columns)), pa.string()) for columns in rows],
            pa.string(),
        )

    def _of_rows(self, columns: pa.RecordBatch) -> Plan:
        return Plan(columns)

    def _unit(self, row: int) -> WorkUnit:
        shard, keys, params = (column[row].as_py() for column in self._columns.columns)
        return WorkUnit(shard, tuple(keys), json.loads(params))


class PlanOnDemand(Plan):
    """Units that are made on each access, from data that is in memory anyway.

    For units that share nothing, such as those that carry a dataset's records: columns would hold all of it twice.
    Columns: ``shard``, and ``row`` of the unit in the whole plan.
    """

    def __init__(self, columns: pa.RecordBatch, make: Callable[[int], WorkUnit]) -> None:
        super().__init__(columns)
        self._make = make

    @classmethod
    def over(cls, shards: Sequence[str], make: Callable[[int], WorkUnit]) -> PlanOnDemand:
        """The plan of ``make(row)`` for each row; its shard is ``shards[row]``."""
        columns = {"shard": pa.array(shards, pa.string()), "row": pa.array(range(len(shards)), pa.int64())}
        return cls(pa.record_batch(columns), make)

    def fingerprints(self) -> pa.ChunkedArray:
        """The fingerprint of each unit, one unit after the other."""
        return pa.chunked_array([pa.array((unit.fingerprint for unit in self), pa.string())])

    def _of_rows(self, columns: pa.RecordBatch) -> Plan:
        return PlanOnDemand(columns, self._make)

    def _unit(self, row: int) -> WorkUnit:
        return self._make(self._columns["row"][row].as_py())


def remaining(store: Store, units: Sequence[WorkUnit]) -> Plan:
    """The planned units without a receipt in the store, in plan order.

    Raises FingerprintMismatch where a receipt is of another unit with the same shard name or of another store,
    ValueError where the plan names a shard twice.
    """
    plan = Plan.of(units)
    if pc.count_distinct(plan.shards).as_py() < len(plan):
        raise ValueError("the plan names a shard twice")
    receipts = store.receipt_table(["store", "unit"])
    position = pc.index_in(plan.shards, receipts["shard"])
    done = pc.is_valid(position)
    made = receipts.take(position.drop_null())
    planned = plan.where(done)
    foreign = pc.not_equal(made["store"], store.manifest.fingerprint)
    changed = pc.and_(pc.not_equal(made["unit"], ""), pc.not_equal(made["unit"], planned.fingerprints()))
    for wrong, what in ((foreign, "as part of another store"), (changed, "from other samples or parameters")):
        if pc.any(wrong).as_py():
            shard = made["shard"].filter(wrong)[0].as_py()
            raise FingerprintMismatch(
                f"{store.url}: shard {shard} was made {what} than planned: "
                "choose another workspace, or remove this store to make it again"
            )
    return plan.where(pc.invert(done))


def unit_blocks(units: Sequence[WorkUnit], max_blocks: int) -> Iterator[pa.Table]:
    """The units as at most ``max_blocks`` tables of nearly equal length, columns ``index`` and ``unit`` (JSON)."""
    count = min(len(units), max_blocks)
    bounds = [len(units) * block // count for block in range(count + 1)]
    for start, end in pairwise(bounds):
        yield pa.table({"index": list(range(start, end)), "unit": [units[row].to_json() for row in range(start, end)]})


def _shared(rows: Sequence[int], values: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(rows, pa.int32()), values)
