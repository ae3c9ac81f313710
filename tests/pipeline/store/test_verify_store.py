"""Verify reports every fault that can be put into a store."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import UserError
from pipeline.store import Failure, Receipt, Sample, Store, verify_store
from pipeline.store.index import table_from_bytes, table_to_bytes
from tests.pipeline.store.samples import camvid_like, manifest


def write_store(root: Path) -> Store:
    store = Store.create(str(root), manifest(inputs={"backbone": "dinov2"}))
    store.write_shard("train-000000", camvid_like(["a", "b"]), [Failure("c", "shard", "unreadable image: c.png")])
    store.write_shard("train-000001", camvid_like(["d"]), dropped=["too dark"])
    store.write_shard("val-000000", [])
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(tmp_path_factory.mktemp("verify"))


def test_a_whole_store_has_no_faults(store: Store) -> None:
    assert verify_store(store.url) == []


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_flipped_byte_or_truncation_in_any_file_is_reported(store: Store, data: st.DataObject) -> None:
    files = sorted(path for path in Path(store.url).rglob("*.*") if path.is_file() and path.name != ".lock")
    assert len(files) == 11
    path = data.draw(st.sampled_from(files))
    whole = path.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        damaged = bytearray(whole)
        damaged[position] ^= data.draw(st.integers(1, 255))
    else:
        damaged = bytearray(whole[:position])
    try:
        path.write_bytes(damaged)
        faults = verify_store(store.url)
        assert any(path.name in fault for fault in faults)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "name", ["shards/train-000001.tar", "index/train-000001.parquet", "quarantine/train-000000.parquet"]
)
def test_a_missing_file_is_reported(tmp_path: Path, name: str) -> None:
    write_store(tmp_path)
    (tmp_path / name).unlink()
    assert any(fault == f"{name}: missing" for fault in verify_store(str(tmp_path)))


def test_a_missing_shard_is_reported_and_one_without_a_receipt_does_not_exist(tmp_path: Path) -> None:
    write_store(tmp_path)
    (tmp_path / "done/train-000001.json").unlink()
    assert verify_store(str(tmp_path)) == []
    (tmp_path / "done/train-000000.json").unlink()
    store = write_store(tmp_path)
    (tmp_path / "done/train-000000.json").unlink()
    assert verify_store(store.url) == ["done/train-000000.json: missing, though later shards are there"]


LABEL = np.zeros((16, 24), np.uint8)
IMAGE = np.zeros((16, 24, 3), np.uint8)


@pytest.mark.parametrize(
    ("sample", "fault"),
    [
        (Sample("x", IMAGE, LABEL + 11), "shards/train-000002.tar: x: label ids [11] are not in camvid"),
        (Sample("x", IMAGE), "shards/train-000002.tar: x: image without label"),
        (Sample("x", label=LABEL), "shards/train-000002.tar: x: label without image"),
        (Sample("a", IMAGE, LABEL), "a: stands there 2 times, in train-000000, train-000002"),
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
