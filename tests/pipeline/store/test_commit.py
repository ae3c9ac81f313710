"""A shard is there whole or not at all, once, and the same however often it is tried."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from augment.errors import UserError
from pipeline.store import Failure, FingerprintMismatch, Sample, SampleReader, Store, verify_store
from pipeline.store.location import Location
from tests.pipeline.store.samples import camvid_like, manifest

KEYS = [f"k{number:03d}" for number in range(8)]
REPOSITORY = Path(__file__).resolve().parents[3]


def visible(root: Path) -> list[str]:
    """Every file of a store but its manifest and lock."""
    files = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return sorted(name for name in files if name not in ("store.json", ".lock"))


def undisturbed(root: Path) -> str:
    return Store.create(str(root), manifest()).write_shard("train-000000", camvid_like(KEYS)).sha256


@pytest.mark.parametrize("after", [0, 1, 5, 8])
def test_an_error_while_writing_leaves_nothing(tmp_path: Path, after: int) -> None:
    store = Store.create(str(tmp_path / "store"), manifest())

    def broken() -> Iterator[Sample]:
        yield from camvid_like(KEYS)[:after]
        raise ConnectionError("the source is gone")

    with pytest.raises(ConnectionError):
        store.write_shard("train-000000", broken())
    assert visible(tmp_path / "store") == []
    assert store.done() == set()
    assert store.write_shard("train-000000", camvid_like(KEYS)).sha256 == undisturbed(tmp_path / "other")


@pytest.mark.parametrize("step", range(4), ids=["tar", "index", "quarantine", "receipt"])
def test_a_commit_that_ends_before_any_of_its_files_is_there_leaves_no_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    store = Store.create(str(tmp_path / "store"), manifest())
    publish, published = Location.publish, []

    def ends_at_a_step(location: Location, scratch: Path, path: str) -> None:
        if len(published) == step:
            raise ConnectionError("the disk is gone")
        published.append(path)
        publish(location, scratch, path)

    failures = [Failure("x", "shard", "wrong mode: CMYK")]
    with monkeypatch.context() as patch:
        patch.setattr(Location, "publish", ends_at_a_step)
        with pytest.raises(ConnectionError):
            store.write_shard("train-000000", camvid_like(KEYS), failures)
    assert len(published) == step
    assert (store.done(), store.index().num_rows, verify_store(store.url)) == (set(), 0, [])
    assert store.write_shard("train-000000", camvid_like(KEYS), failures).sha256 == undisturbed(tmp_path / "other")
    assert verify_store(store.url) == []


WRITE_THEN_WAIT = """
    import sys, time
    sys.path.insert(0, sys.argv[3])
    from tests.pipeline.store.samples import camvid_like, manifest
    from pipeline.store import Store

    def samples():
        for number, sample in enumerate(camvid_like([f"k{n:03d}" for n in range(8)], 64, 96)):
            if number == int(sys.argv[2]):
                print("there", flush=True)
                time.sleep(600)
            yield sample

    Store.create(sys.argv[1], manifest(geometry={})).write_shard("train-000000", samples())
"""


@pytest.mark.parametrize("after", [0, 7])
def test_sigkill_while_writing_leaves_no_shard_and_a_replay_gives_the_same_bytes(tmp_path: Path, after: int) -> None:
    root = tmp_path / "store"
    here = str(REPOSITORY)
    program = [sys.executable, "-c", textwrap.dedent(WRITE_THEN_WAIT), str(root), str(after), here]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        process.send_signal(signal.SIGKILL)
    store = Store.open(str(root))
    left = visible(root)
    assert left
    assert all(name.startswith(".scratch/") for name in left)
    assert (store.done(), store.index().num_rows, verify_store(store.url)) == (set(), 0, [])

    samples = camvid_like(KEYS, 64, 96)
    replay = store.write_shard("train-000000", samples).sha256
    other = Store.create(str(tmp_path / "other"), manifest(geometry={}))
    assert replay == other.write_shard("train-000000", samples).sha256
    assert store.location.sweep() == 1
    assert not any(name.startswith(".scratch/") for name in visible(root))


def test_sweep_leaves_the_scratch_of_the_living(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), manifest())
    with store.writer("train-000000") as writer:
        writer.add(camvid_like(["a"])[0])
        assert store.location.sweep() == 0
        writer.commit([], [], 0.0, "")
    assert verify_store(store.url) == []


def test_a_kill_before_the_receipt_leaves_a_shard_that_readers_do_not_see(tmp_path: Path) -> None:
    digest = undisturbed(tmp_path)
    (tmp_path / "done/train-000000.json").unlink()
    store = Store.open(str(tmp_path))
    assert store.done() == set()
    assert SampleReader(store).keys == []
    assert store.write_shard("train-000000", camvid_like(KEYS)).sha256 == digest


def test_concurrent_attempts_settle_on_one_receipt(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), manifest())

    def attempt(seed: int) -> str:
        return store.write_shard("train-000000", camvid_like(KEYS, seed=seed)).sha256

    with ThreadPoolExecutor(6) as pool:
        digests = set(pool.map(attempt, range(6)))
    assert len(digests) == 1
    assert digests == {receipt.sha256 for receipt in store.receipts()}
    assert verify_store(store.url) == []
    assert [name for name in visible(tmp_path) if name.startswith(".scratch/")] == []


def test_a_full_disk_leaves_nothing_visible(tmp_path: Path) -> None:
    program = """
        import resource, sys
        sys.path.insert(0, sys.argv[2])
        from tests.pipeline.store.samples import camvid_like, manifest
        from pipeline.store import Store
        import signal
        store = Store.create(sys.argv[1], manifest(geometry={}))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
        try:
            store.write_shard("train-000000", camvid_like([f"k{n}" for n in range(8)], 64, 96))
        except OSError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path), str(REPOSITORY)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout
    assert visible(tmp_path) == []


def test_quarantine_holds_failures_and_goes_when_a_new_attempt_has_none(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), manifest())
    failures = [
        Failure("x", "shard", "unreadable image: x.png", "Traceback"),
        Failure("y", "shard", "wrong mode: CMYK"),
    ]
    receipt = store.write_shard("train-000000", [], failures, dropped=["too dark: 3", "too dark: 4"])
    assert (receipt.failures, receipt.dropped) == (2, 2)
    assert receipt.failure_reasons == {"unreadable image": 1, "wrong mode": 1}
    assert receipt.drop_reasons == {"too dark": 2}
    rows = store.quarantine().to_pylist()
    assert [row["key"] for row in rows] == ["x", "y"]
    assert rows[0]["reason"] == "unreadable image: x.png"
    assert rows[0]["shard"] == "train-000000"

    (tmp_path / "done/train-000000.json").unlink()
    store.write_shard("train-000000", camvid_like(KEYS))
    assert store.quarantine().num_rows == 0
    assert verify_store(store.url) == []


def test_a_store_of_other_inputs_is_refused_with_what_differs(tmp_path: Path) -> None:
    inputs = {"backbone": {"name": "dinov2", "stride": 8}, "k_max": 16, "split": "train"}
    Store.create(str(tmp_path), manifest(inputs=inputs))
    Store.create(str(tmp_path), manifest(inputs=dict(reversed(inputs.items()))))
    asked = {"backbone": {"name": "dinov2", "stride": 16}, "k_max": 16, "seed": 1}
    with pytest.raises(FingerprintMismatch) as raised:
        Store.create(str(tmp_path), manifest(inputs=asked))
    message = str(raised.value)
    assert "inputs.backbone.stride: stored 8, requested 16" in message
    assert "inputs.seed: not stored, requested 1" in message
    assert 'inputs.split: stored "train", not requested' in message
    assert "k_max" not in message
    assert "choose another workspace" in message
    assert "remove this store" in message
    assert "\n" not in message


def test_a_relative_url_stays_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store.create("stores/real", manifest())
    monkeypatch.chdir("/")
    store.write_shard("train-000000", camvid_like(["a"]))
    assert store.url == str(tmp_path / "stores/real")
    assert (tmp_path / "stores/real/done/train-000000.json").exists()


@pytest.mark.parametrize("url", ["nowhere", "nosuchprotocol://bucket/store"])
def test_no_store_is_a_users_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        Store.open(url)


def test_a_shard_name_has_an_index(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), manifest())
    with pytest.raises(UserError, match="train-000000"):
        store.write_shard("train", [])


def test_sweep_leaves_files_that_are_no_scratch(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "store"), manifest())
    scratch = tmp_path / "store" / ".scratch"
    scratch.mkdir(exist_ok=True)
    for name in ("notes.tmp", f"a.tar.{socket.gethostname()}.x.y.tmp"):
        (scratch / name).touch()
    assert store.sweep() == 0
    assert len(list(scratch.iterdir())) == 2
