"""A plan in columns is the list of its units, without holding them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.engine import Plan, PlanOnDemand, WorkUnit, remaining
from pipeline.engine.plan import unit_blocks
from pipeline.stages.generation_units import generation_units
from pipeline.store import FingerprintMismatch, Store
from tests.pipeline.engine import stages
from tests.pipeline.store.samples import VALUES

TEXT = st.text(max_size=8)
UNITS = st.lists(
    st.builds(WorkUnit, TEXT, st.lists(TEXT, max_size=3).map(tuple), st.dictionaries(TEXT, VALUES, max_size=2)),
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@given(UNITS)
def test_a_plan_is_the_sequence_of_its_units(units: list[WorkUnit]) -> None:
    plan = Plan.of(iter(units))
    assert list(plan) == units
    assert [plan[row] for row in range(-len(units), len(units))] == [*units, *units]
    assert list(plan[1:4]) == units[1:4]
    assert plan.shards.to_pylist() == [unit.shard for unit in units]
    assert plan.fingerprints().to_pylist() == [unit.fingerprint for unit in units]
    with pytest.raises(IndexError):
        plan[len(units)]


@settings(max_examples=50, deadline=None)
@given(UNITS, st.lists(st.booleans(), min_size=6, max_size=6))
def test_units_made_on_demand_are_those_of_a_plan_in_columns(units: list[WorkUnit], chosen: list[bool]) -> None:
    columns = Plan.of(units)
    plan = PlanOnDemand.over([unit.shard for unit in units], lambda row: units[row])
    assert Plan.of(plan) is plan
    mask = pa.array(chosen[: len(units)], pa.bool_())
    for one, other in ((plan, columns), (plan[1:4], columns[1:4]), (plan.where(mask), columns.where(mask))):
        assert list(one) == list(other)
        assert one.shards.equals(other.shards)
        assert one.fingerprints().to_pylist() == other.fingerprints().to_pylist()


def test_a_plan_on_demand_makes_no_unit_before_access() -> None:
    made: list[int] = []

    def make(row: int) -> WorkUnit:
        made.append(row)
        return WorkUnit(f"train-{row:06d}", ())

    plan = PlanOnDemand.over([f"train-{row:06d}" for row in range(100)], make)
    assert len(plan.without({"train-000000"})) == 99
    assert made == []
    assert plan[1:][1].shard == "train-000002"
    assert made == [2]


@settings(max_examples=50, deadline=None)
@given(UNITS.filter(bool), st.integers(1, 4))
def test_blocks_hold_every_unit_once_and_in_order(units: list[WorkUnit], most: int) -> None:
    blocks = list(unit_blocks(Plan.of(units), most))
    rows = [row for block in blocks for row in block.to_pylist()]
    assert [WorkUnit.from_json(row["unit"]) for row in rows] == units
    assert [row["index"] for row in rows] == list(range(len(units)))
    assert len(blocks) == min(most, len(units))


def test_more_ks_and_variants_leave_exactly_the_new_units(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), stages.MANIFEST)
    sources = {"train-000000": ("a", "b"), "train-000001": ("c",), "val-000000": ("d",)}
    for unit in generation_units(sources, ["train"], ks=[4, 8], variants=1):
        store.write_shard(unit.shard, [], unit=unit.fingerprint)
    more = generation_units(sources, ["train", "val"], ks=[8, 2, 4], variants=2)
    left = remaining(store, more)
    assert list(left) == [unit for unit in more if unit.shard not in store.done()]
    assert len(left) == 3 * 3 * 2 - 2 * 2


def test_other_samples_under_the_same_name_are_refused(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), stages.MANIFEST)
    unit = WorkUnit("train-000001", ("a",), {"k": 1})
    store.write_shard(unit.shard, [], unit=unit.fingerprint)
    assert len(remaining(store, [unit])) == 0
    for other in (WorkUnit(unit.shard, ("b",), {"k": 1}), WorkUnit(unit.shard, ("a",), {"k": 2})):
        with pytest.raises(FingerprintMismatch, match="train-000001 was made from other samples or parameters"):
            remaining(store, [WorkUnit("train-000000", ()), other])


def test_receipts_of_another_store_are_refused(tmp_path: Path) -> None:
    Store.create(str(tmp_path), stages.MANIFEST).write_shard("train-000000", [])
    (tmp_path / "store.json").unlink()
    store = Store.create(str(tmp_path), type(stages.MANIFEST)("synthetic", "camvid", {}, {"seed": 1}))
    with pytest.raises(FingerprintMismatch, match="train-000000 was made as part of another store"):
        remaining(store, [WorkUnit("train-000000", ())])
