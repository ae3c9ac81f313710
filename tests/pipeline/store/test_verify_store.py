"""Verify reports every fault that can be put into a store."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import UserError
from pipeline.cli import guarded
from pipeline.store import (
    CorruptStore,
    Failure,
    Manifest,
    Receipt,
    Sample,
    Store,
    StoreFindings,
    examine_store,
    ledger,
    verify_store,
)
from pipeline.store.index import table_from_bytes, table_to_bytes
from pipeline.workflow.verify import verify
from tests.pipeline.store.samples import FREE, camvid_like, manifest, sample_lists


def write_store(root: Path) -> Store:
    store = Store.create(str(root), manifest(inputs={"backbone": "dinov2"}))
    store.write_shard("train-000000", camvid_like(["a", "b"]), [Failure("c", "shard", "unreadable image: c.png")])
    store.write_shard("train-000001", camvid_like(["d"]), dropped=["too dark"])
    store.write_shard("val-000000", [])
    store.note_asked(["train-000000", "train-000001", "val-000000"])
    store.note_made()
    return store


def with_ledger(store: Store) -> Store:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "FOLD_AT_LEAST", 1)
        assert store.fold()
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return with_ledger(write_store(tmp_path_factory.mktemp("verify")))


def test_a_whole_store_has_no_faults(store: Store) -> None:
    assert verify_store(store.url) == []


def files_of(root: Path) -> list[Path]:
    """Every file of a store but the lock, which is empty and says nothing."""
    return sorted(path for path in root.rglob("*.*") if path.is_file() and path.name != ".lock")


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """One byte flipped in some of its bits, or an end cut off."""
    place, mask, cut = draw(st.floats(0, 1, exclude_max=True)), draw(st.integers(1, 255)), draw(st.booleans())

    def damage(whole: bytes) -> bytes:
        position = int(place * len(whole))
        if cut:
            return whole[:position]
        return whole[:position] + bytes([whole[position] ^ mask]) + whole[position + 1 :]

    return damage


@settings(max_examples=150, deadline=None)
@given(st.data(), damages())
def test_any_flipped_byte_or_truncation_in_any_file_is_reported(
    store: Store, data: st.DataObject, damage: Callable[[bytes], bytes]
) -> None:
    files = files_of(Path(store.url))
    assert len(files) == 13
    path = data.draw(st.sampled_from(files))
    whole = path.read_bytes()
    try:
        path.write_bytes(damage(whole))
        assert any(path.name in fault for fault in verify_store(store.url))
    finally:
        path.write_bytes(whole)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(sample_lists(3), st.lists(st.text(max_size=8), max_size=2)), min_size=1, max_size=2),
    st.data(),
    damages(),
)
def test_damage_to_a_store_of_any_samples_is_reported_in_whole_lines(
    shards: list[tuple[list[Sample], list[str]]], data: st.DataObject, damage: Callable[[bytes], bytes]
) -> None:
    with tempfile.TemporaryDirectory() as root:
        store = Store.create(root, FREE)
        for number, (samples, reasons) in enumerate(shards):
            unique = [replace(sample, key=f"{number}_{sample.key}") for sample in samples]
            failures = [Failure(f"bad{row}", "shard", reason, reason) for row, reason in enumerate(reasons)]
            store.write_shard(f"train-{number:06d}", unique, failures)
        with_ledger(store)
        assert verify_store(root) == []
        path = data.draw(st.sampled_from(files_of(Path(root))))
        path.write_bytes(damage(path.read_bytes()))
        faults = verify_store(root)
        assert any(path.name in fault for fault in faults)
        assert not any("\n" in fault for fault in faults)


def test_no_bit_of_a_manifest_or_receipt_can_flip_unseen(store: Store) -> None:
    for path, parse in (("store.json", Manifest.from_bytes), ("done/train-000000.json", Receipt.from_bytes)):
        whole = (Path(store.url) / path).read_bytes()
        parse(whole)
        for bit in range(8 * len(whole)):
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            with pytest.raises(CorruptStore):
                parse(bytes(damaged))


def test_the_command_exits_with_1_and_prints_a_line_for_each_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_store(tmp_path)
    for name in ("shards/train-000000.tar", "quarantine/train-000000.parquet", "done/train-000001.json"):
        (tmp_path / name).write_bytes(b"line\nbreak")
    assert guarded(["verify", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "shards/train-000000.tar",
        "quarantine/train-000000.parquet",
        "done/train-000001.json",
        tmp_path.name,
        "3 faults",
    ]


@pytest.mark.parametrize(
    "name", ["shards/train-000001.tar", "index/train-000001.parquet", "quarantine/train-000000.parquet"]
)
def test_a_missing_file_is_reported(tmp_path: Path, name: str) -> None:
    write_store(tmp_path)
    (tmp_path / name).unlink()
    assert any(fault == f"{name}: missing" for fault in verify_store(str(tmp_path)))


def test_a_missing_manifest_is_reported_and_is_no_reason_to_look_away(tmp_path: Path) -> None:
    write_store(tmp_path / "real")
    (tmp_path / "real/store.json").unlink()
    assert verify_store(str(tmp_path / "real")) == ["store.json: missing"]
    assert verify(str(tmp_path)).faults == ["real: store.json: missing"]


@pytest.mark.parametrize("shard", ["train-000000", "train-000001", "val-000000"])
def test_any_one_receipt_that_is_gone_from_a_finished_store_is_reported(tmp_path: Path, shard: str) -> None:
    store = with_ledger(write_store(tmp_path))
    (tmp_path / f"done/{shard}.json").unlink()
    lost = f"done/{shard}.json: missing, though the shard was made; lumen run makes it again"
    assert verify_store(store.url) == [lost]


def test_shards_that_are_not_made_yet_are_counted_and_no_fault(tmp_path: Path) -> None:
    store = write_store(tmp_path)
    assert (examine_store(store.url).asked, examine_store(store.url).unmade) == (3, 0)
    more = ["train-000000", "train-000001", "train-000002", "train-000003", "val-000000"]
    store.note_asked(more)
    store.write_shard("train-000003", camvid_like(["e"]))
    found = examine_store(store.url)
    assert (found.faults, found.shards, found.samples, found.asked, found.unmade) == ([], 4, 4, 5, 1)
    # What was made before the store was extended is missed nevertheless, and what came since is not.
    for shard in ("train-000001", "train-000003"):
        (tmp_path / f"done/{shard}.json").unlink()
    found = examine_store(store.url)
    assert [fault.partition(":")[0] for fault in found.faults] == ["done/train-000001.json"]
    assert found.unmade == 2


def test_a_store_that_no_run_has_written_may_have_gaps(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), manifest())
    store.write_shard("train-000004", camvid_like(["a"]))
    assert examine_store(store.url) == StoreFindings([], shards=1, samples=1)


LABEL = np.zeros((16, 24), np.uint8)
IMAGE = np.zeros((16, 24, 3), np.uint8)


@pytest.mark.parametrize(
    ("sample", "fault"),
    [
        (Sample("x", IMAGE, LABEL + 11), "shards/train-000002.tar: x: label ids [11] are not in camvid"),
        (Sample("x", IMAGE), "shards/train-000002.tar: x: image without label"),
        (Sample("x", label=LABEL), "shards/train-000002.tar: x: label without image"),
        (Sample("a", IMAGE, LABEL), "a: is there 2 times, in train-000000, train-000002"),
    ],
)
def test_samples_that_break_the_contract_are_reported(tmp_path: Path, sample: Sample, fault: str) -> None:
    store = write_store(tmp_path)
    store.write_shard("train-000002", [sample])
    assert verify_store(store.url) == [fault]


def test_a_store_of_another_geometry_is_reported(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), manifest(geometry={}))
    store.write_shard("train-000000", camvid_like(["a"]))
    changed = manifest(geometry={"height": 8, "width": 24})
    (tmp_path / "store.json").write_bytes(changed.to_bytes())
    faults = verify_store(store.url)
    assert any("the receipt of another store" in fault for fault in faults)
    assert any("image is (16, 24), the geometry is (8, 24)" in fault for fault in faults)


def test_an_unknown_taxonomy_is_reported(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), manifest(taxonomy="moon"))
    assert len(verify_store(store.url)) == 1
    assert "unknown taxonomy 'moon'" in verify_store(store.url)[0]


@pytest.mark.parametrize("column", ["png:offset", "json:size", "number", "key"])
def test_an_index_that_disagrees_with_its_tar_is_reported_even_where_the_digests_agree(
    tmp_path: Path, column: str
) -> None:
    write_store(tmp_path)
    path = tmp_path / "index/train-000000.parquet"
    table = table_from_bytes(path.read_bytes())
    values = table[column].to_pylist()
    values[1] = values[1] + (1 if isinstance(values[1], int) else "x")
    data = table_to_bytes(table.set_column(table.column_names.index(column), column, pa.array(values)))
    path.write_bytes(data)
    done = tmp_path / "done/train-000000.json"
    receipt = replace(Receipt.from_bytes(done.read_bytes()), index_sha256=hashlib.sha256(data).hexdigest())
    done.write_bytes(receipt.to_bytes())
    assert verify_store(str(tmp_path)) == [f"shards/train-000000.tar: b: the index differs in {column}"]


def test_no_store_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no store at .*: store\.json is missing"):
        verify_store(str(tmp_path))
