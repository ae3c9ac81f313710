"""The ledger makes reading receipts fast and changes nothing else: lost, damaged or outdated, it is as if not there."""

from __future__ import annotations

import hashlib
import os
import random
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pytest

from pipeline.store import CorruptStore, Failure, Receipt, Store, Totals, ledger, verify_store
from pipeline.store.index import table_from_bytes, table_to_bytes
from pipeline.store.ledger import ledger_path
from pipeline.store.location import Location
from tests.pipeline.store.samples import camvid_like, manifest

SHARDS = [f"train-{number:06d}" for number in range(6)]


@pytest.fixture(autouse=True)
def folds_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "FOLD_AT_LEAST", 1)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Receipts that are opened, as a list that grows."""
    paths: list[str] = []
    read = Location.read

    def counted(location: Location, path: str) -> bytes:
        paths.append(path)
        return read(location, path)

    monkeypatch.setattr(Location, "read", counted)
    return paths


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    url = str(tmp_path) if request.param == "disk" else f"memory://{tmp_path.name}/{request.node.name}"
    made = Store.create(url, manifest())
    for number, shard in enumerate(SHARDS):
        failures = [Failure("x", "shard", "wrong mode: CMYK")] * (number % 3)
        made.write_shard(shard, camvid_like([f"k{number}"]), failures, dropped=["too dark"], unit=f"unit {number}")
    return made


def plain_receipts(store: Store) -> list[Receipt]:
    return [Receipt.from_bytes(store.location.read(f"done/{shard}.json")) for shard in sorted(store.done())]


def ledgers(store: Store) -> list[str]:
    return store.location.names("done", ".parquet")


def test_a_folded_store_has_the_same_receipts_and_opens_none(store: Store, opened: list[str]) -> None:
    plain, sums = store.receipts(), store.totals()
    assert plain == plain_receipts(store)
    assert sums == Totals(
        *(6, 6, 6, 6),
        sum(r.bytes for r in plain),
        pytest.approx(sum(r.seconds for r in plain)),
        {"wrong mode": 6},
        {"too dark": 6},
    )
    assert store.fold()
    opened.clear()
    assert store.receipts() == plain
    assert store.totals() == sums
    assert store.receipt_table(["unit"])["unit"].to_pylist() == [f"unit {number}" for number in range(6)]
    assert opened == []
    assert not store.fold()
    assert verify_store(store.url) == []


def test_only_receipts_since_the_folding_are_opened(store: Store, opened: list[str]) -> None:
    store.fold()
    store.write_shard("train-000006", camvid_like(["new"]))
    opened.clear()
    assert [receipt.shard for receipt in store.receipts()] == [*SHARDS, "train-000006"]
    assert opened == ["done/train-000006.json"]
    assert store.fold()
    assert len(ledgers(store)) == 1


def test_a_receipt_that_is_gone_or_made_again_is_not_taken_from_the_ledger(store: Store) -> None:
    store.fold()
    for shard in SHARDS[:2]:
        store.discard(shard)
    again = store.write_shard(SHARDS[0], camvid_like(["other"]))
    assert [receipt.shard for receipt in store.receipts()] == [SHARDS[0], *SHARDS[2:]]
    assert store.receipts() == plain_receipts(store)
    assert store.receipt(SHARDS[0]) == again
    assert verify_store(store.url) == []


@pytest.mark.parametrize("loss", ["removed", "cut", "flipped", "changed"])
def test_a_lost_or_damaged_ledger_changes_nothing_and_is_replaced(store: Store, loss: str) -> None:
    store.fold()
    plain = plain_receipts(store)
    (name,) = ledgers(store)
    path, whole = ledger_path(name), store.location.read(ledger_path(name))
    store.location.remove(path)
    if loss != "removed":
        flipped = bytearray(whole)
        flipped[random.Random(0).randrange(len(whole))] ^= 1
        table = table_from_bytes(whole)
        column = table.column_names.index("samples")
        changed = table.set_column(column, "samples", pc.add(table["samples"], 1))
        damaged = {"cut": whole[:-9], "flipped": bytes(flipped), "changed": table_to_bytes(changed)}
        store.location.write(path, damaged[loss])
        assert verify_store(store.url) == [f"{path}: its sha256 is not its name"]
    assert store.receipts() == plain
    assert store.fold()
    assert store.receipts() == plain
    assert verify_store(store.url) == []


def test_verify_compares_the_ledger_with_the_receipts(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), manifest())
    receipt = store.write_shard(SHARDS[0], camvid_like(["a"]))
    done = tmp_path / "done" / f"{SHARDS[0]}.json"
    whole, stat = done.read_bytes(), done.stat()
    # A receipt of equal length, folded, and the true one put back without a trace.
    done.write_bytes(replace(receipt, index_sha256="0" * 64).to_bytes())
    os.utime(done, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    store.fold()
    done.write_bytes(whole)
    os.utime(done, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (name,) = ledgers(store)
    assert verify_store(store.url) == [f"{ledger_path(name)}: the row of {SHARDS[0]} differs from its receipt"]


def test_a_damaged_receipt_is_named(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), manifest())
    store.write_shard(SHARDS[0], camvid_like(["a"]))
    store.fold()
    (tmp_path / "done" / f"{SHARDS[0]}.json").write_bytes(b"{}")
    with pytest.raises(CorruptStore, match=rf"done/{SHARDS[0]}\.json: not a receipt"):
        store.totals()


def test_few_new_receipts_are_not_worth_a_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "FOLD_AT_LEAST", 3)
    store = Store.create(str(tmp_path), manifest())
    for shard in SHARDS[:2]:
        store.write_shard(shard, [])
    assert not store.fold()
    store.write_shard(SHARDS[2], [])
    assert store.fold()
    data = store.location.read(ledger_path(ledgers(store)[0]))
    assert ledgers(store) == [hashlib.sha256(data).hexdigest()]
