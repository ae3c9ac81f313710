"""The inventory names every shard it was given, in a few numbers, and no damage to it passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.store import CorruptStore, Store
from pipeline.store.inventory import Inventory, count_shards, lost_shards, ranges_of, read_inventory, shard_names
from tests.pipeline.store.samples import manifest

SHARDS = st.lists(st.tuples(st.sampled_from(["train", "val", "train-k05-v01"]), st.integers(0, 12)))


@given(SHARDS)
def test_ranges_hold_exactly_the_shards_they_were_made_from(pairs: list[tuple[str, int]]) -> None:
    found = ranges_of(f"{name}-{number:06d}" for name, number in pairs)
    assert list(shard_names(found)) == [f"{name}-{number:06d}" for name, number in sorted(set(pairs))]
    assert count_shards(found) == len(set(pairs))
    assert Inventory.from_bytes(Inventory(found, found).to_bytes()) == Inventory(found, found)


def test_a_plan_without_gaps_is_one_range_for_each_name() -> None:
    assert ranges_of(f"train-{number:06d}" for number in range(3000)) == {"train": [[0, 2999]]}


def test_made_shards_stay_noted_whatever_a_later_run_plans(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), manifest())
    store.note_asked(["train-000000", "train-000001"])
    assert read_inventory(store.location).made == {}
    store.note_made()
    store.note_asked(["train-000001", "train-000002"])
    assert read_inventory(store.location) == Inventory({"train": [[1, 2]]}, {"train": [[0, 1]]})
    store.note_made()
    assert list(shard_names(read_inventory(store.location).made)) == [f"train-{number:06d}" for number in range(3)]


def test_no_bit_of_it_can_flip_unseen(tmp_path: Path) -> None:
    whole = Inventory({"train": [[0, 10]]}, {"train": [[0, 4]]}).to_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptStore):
            Inventory.from_bytes(bytes(damaged))
    store = Store.create(str(tmp_path), manifest())
    (tmp_path / "inventory.json").write_bytes(whole[:-1])
    with pytest.raises(CorruptStore, match=r"/inventory\.json: not an inventory .*; remove it, the next run writes it"):
        store.note_asked(["train-000000"])


def test_a_receipt_that_a_retry_puts_back_while_verify_looks_is_not_missed(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), manifest())
    store.write_shard("train-000000", [])
    store.note_asked(["train-000000", "train-000001"])
    store.note_made()
    listed_in_between: list[str] = []
    faults = list(lost_shards(store.location, read_inventory(store.location), listed_in_between))
    assert [fault.partition(":")[0] for fault in faults] == ["done/train-000001.json"]


def test_a_removal_that_is_cut_short_leaves_no_shard_to_be_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.create(str(tmp_path), manifest())
    store.write_shard("train-000000", [])
    store.note_asked(["train-000000"])
    store.note_made()

    def killed(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.store.location.Location.remove_tree", killed)
    with pytest.raises(KeyboardInterrupt):
        Store.remove(store.url)
    assert store.done() == set()
    assert list(shard_names(read_inventory(store.location).made)) == []
