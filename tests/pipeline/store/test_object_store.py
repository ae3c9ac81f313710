"""On an object store that fails, answers late and forgets to answer, nothing is lost and nothing is doubled."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tarfile import BLOCKSIZE

import pytest

from augment.errors import UserError
from pipeline.cli import guarded
from pipeline.store import Failure, SampleReader, Store, StoreUnavailable, backoff, verify_store
from tests.pipeline.store.object_store import FAULTS, Proxy, Request
from tests.pipeline.store.samples import assert_same, camvid_like, manifest

SHARDS = {f"train-{number:06d}": [f"k{number}_{row}" for row in range(4)] for number in range(4)}
SHARD = "train-000000"


def write_all(store: Store) -> dict[str, str]:
    with ThreadPoolExecutor(2) as pool:
        receipts = pool.map(lambda shard: store.write_shard(shard, camvid_like(SHARDS[shard])), SHARDS)
        return {receipt.shard: receipt.sha256 for receipt in receipts}


def tars(store: Store) -> list[str]:
    return store.location.names("shards", ".tar")


def test_a_store_that_keeps_failing_loses_nothing(proxy: Proxy, bucket: str, tmp_path: Path) -> None:
    local = write_all(Store.create(str(tmp_path), manifest()))
    proxy.seeded(rate=0.25)
    store = Store.create(f"{bucket}/real", manifest())
    assert write_all(store) == local
    reader = SampleReader(Store.open(store.url))
    assert reader.keys == sorted(key for keys in SHARDS.values() for key in keys)
    for keys in SHARDS.values():
        for sample in camvid_like(keys):
            assert_same(reader.read(sample.key), sample)
    assert verify_store(store.url) == []
    assert len(tars(store)) == len(SHARDS)
    assert set(proxy.faults) == set(FAULTS)
    assert sum(proxy.faults.values()) > len(proxy.requests) / 8


def test_a_member_costs_one_ranged_read_of_its_own_bytes_and_header(proxy: Proxy, bucket: str) -> None:
    store = Store.create(f"{bucket}/real", manifest())
    store.write_shard(SHARD, camvid_like(SHARDS[SHARD]))
    reader = SampleReader(store)
    row = store.index().to_pylist()[2]
    proxy.requests.clear()
    proxy.body_bytes = 0
    data = reader.read_member(row["key"], "label.png")
    (request,) = proxy.requests
    offset, size = row["label.png:offset"], row["label.png:size"]
    assert (request.method, request.range) == ("GET", f"bytes={offset - BLOCKSIZE}-{offset + size - 1}")
    assert (len(data), proxy.body_bytes) == (size, size + BLOCKSIZE)


def test_two_attempts_with_different_bytes_leave_one_whole_shard(proxy: Proxy, bucket: str) -> None:
    store = Store.create(f"{bucket}/real", manifest())
    reached, release = threading.Event(), threading.Event()

    def hold_the_first_receipt(request: Request) -> None:
        if request.method == "PUT" and "/done/" in request.path and not reached.is_set():
            reached.set()
            release.wait(30)

    proxy.fault = hold_the_first_receipt
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(store.write_shard, SHARD, camvid_like(SHARDS[SHARD], seed=1))
        assert reached.wait(30)
        fast = store.write_shard(SHARD, camvid_like(SHARDS[SHARD], seed=2))
        release.set()
        assert slow.result() == fast
    assert store.receipts() == [fast]
    assert hashlib.sha256(store.location.read(fast.tar_path)).hexdigest() == fast.sha256
    assert tars(store) == [f"{SHARD}.{fast.attempt}"]
    assert verify_store(store.url) == []


def test_many_attempts_at_once_settle_on_one_receipt(bucket: str) -> None:
    store = Store.create(f"{bucket}/real", manifest())
    with ThreadPoolExecutor(4) as pool:
        receipts = list(pool.map(lambda seed: store.write_shard(SHARD, camvid_like(["a"], seed=seed)), range(4)))
    assert {receipt.sha256 for receipt in receipts} == {receipt.sha256 for receipt in store.receipts()}
    assert len(tars(store)) == 1
    assert verify_store(store.url) == []


def test_a_receipt_is_ones_own_even_if_the_answer_to_its_upload_is_lost(proxy: Proxy, bucket: str) -> None:
    store = Store.create(f"{bucket}/real", manifest())
    lost: list[Request] = []

    def lose_the_first_answer(request: Request) -> str | None:
        if request.method == "PUT" and "/done/" in request.path and not lost:
            lost.append(request)
            return "lost answer"
        return None

    proxy.fault = lose_the_first_answer
    receipt = store.write_shard(SHARD, camvid_like(SHARDS[SHARD]))
    assert lost
    assert store.receipts() == [receipt]
    assert verify_store(store.url) == []


def test_a_store_without_conditional_uploads_still_keeps_the_first_receipt(proxy: Proxy, bucket: str) -> None:
    proxy.fault = lambda request: "501" if request.conditional else None
    store = Store.create(f"{bucket}/real", manifest())
    receipt = store.write_shard(SHARD, camvid_like(SHARDS[SHARD], seed=1))
    assert store.write_shard(SHARD, camvid_like(SHARDS[SHARD], seed=2)) == receipt
    assert proxy.faults["501"] > 0
    assert len(tars(store)) == 1
    assert verify_store(store.url) == []


def test_sweep_removes_only_the_files_of_attempts_that_came_second(bucket: str) -> None:
    store = Store.create(f"{bucket}/real", manifest())
    receipt = store.write_shard(SHARD, camvid_like(["a"]), [Failure("b", "shard", "wrong mode: CMYK")])
    for path in (f"shards/{SHARD}.dead.tar", f"index/{SHARD}.dead.parquet", "shards/train-000001.live.tar"):
        store.location.write(path, b"half a shard")
    assert store.sweep() == 2
    assert tars(store) == [f"{SHARD}.{receipt.attempt}", "train-000001.live"]
    assert verify_store(store.url) == []
    assert store.quarantine()["key"].to_pylist() == ["b"]


def test_discard_and_remove_leave_nothing(bucket: str) -> None:
    store = Store.create(f"{bucket}/real", manifest())
    first = store.write_shard(SHARD, camvid_like(["a"]))
    store.discard(SHARD)
    assert (store.done(), tars(store)) == (set(), [])
    assert store.write_shard(SHARD, camvid_like(["a"])).sha256 == first.sha256
    Store.remove(store.url)
    assert not Store.is_at(store.url)
    assert store.location.fs.find(bucket) == []


@pytest.mark.parametrize("name", ["shards", "index", "done"])
def test_verify_reports_a_flipped_byte_and_a_missing_file(
    bucket: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.create(f"{bucket}/real", manifest())
    store.write_shard(SHARD, camvid_like(["a"]))
    (path,) = store.location.fs.ls(store.location.full(name), detail=False)
    whole = store.location.fs.cat_file(path)
    store.location.fs.pipe_file(path, whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    assert guarded(["verify", store.url]) == 1
    assert capsys.readouterr().out.startswith(f"{name}/{SHARD}")


def test_a_refusal_is_reported_at_once(proxy: Proxy, bucket: str) -> None:
    store = Store.create(f"{bucket}/real", manifest())
    proxy.requests.clear()
    proxy.fault = lambda _: "403"
    with pytest.raises(UserError, match=f"^cannot write {bucket}/real/store.json: access denied"):
        store.location.write("store.json", b"")
    assert len(proxy.requests) == 1


def test_a_bucket_that_is_not_there_is_a_users_mistake(bucket: str) -> None:
    with pytest.raises(UserError, match=f"^cannot write {bucket}-missing/real/store.json: "):
        Store.create(f"{bucket}-missing/real", manifest())


def test_an_outage_that_does_not_end_is_one_clear_error(
    proxy: Proxy, bucket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.create(f"{bucket}/real", manifest())
    monkeypatch.setattr(backoff, "GIVE_UP_AFTER", 0.5)
    proxy.fault = lambda _: "503"
    with pytest.raises(StoreUnavailable, match="gave up after"):
        store.write_shard(SHARD, camvid_like(["a"]))
    assert guarded(["verify", store.url]) == 1
    message = capsys.readouterr().err
    assert "gave up after" in message
    assert message.count("\n") == 1
