"""A retry runs only failed samples, and a recovered store equals one without failures."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from augment.errors import UserError
from pipeline.engine import (
    ErrorBudget,
    RetrySummary,
    UnitFailed,
    WorkUnit,
    make_executor,
    retry_store_stage,
    run_store_stage,
)
from pipeline.store import CorruptStore, SampleReader, Store, verify_store
from tests.pipeline.engine import stages

KINDS = ["serial", "ray"]
UNITS = stages.plan(4)
# In the middle, at either end, and a whole unit; k008 fails when it is written, one of its two variants or both.
BAD = frozenset({"k001", "k003", "k004", *(f"k{number:03d}" for number in range(10, 15))})


def store_of(
    root: Path, stage: stages.Variants, source: stages.Noise | None = None, units: list[WorkUnit] = UNITS
) -> Store:
    store = Store.create(str(root), stages.MANIFEST)
    budget = ErrorBudget(rate=1.0)
    run_store_stage(stage, source or stages.Noise(), store, units, make_executor("serial"), budget, print)
    return store


def retry(
    store: Store, stage: stages.Variants, source: stages.Noise | None = None, kind: str = "serial"
) -> RetrySummary:
    executor = make_executor(kind)  # type: ignore[arg-type]
    return retry_store_stage(stage, source or stages.Noise(), store, UNITS, executor, print)


def contents(store: Store) -> list[tuple]:
    """All that receipts say but times."""
    return [
        (
            r.shard,
            r.sha256,
            r.index_sha256,
            r.quarantine_sha256,
            r.samples,
            r.failures,
            r.dropped,
            r.drop_reasons,
            r.unit,
        )
        for r in store.receipts()
    ]


def files(store: Store) -> dict[str, str]:
    return {
        str(path.relative_to(store.url)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(store.url).rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    return str(request.param)


def test_a_recovered_store_equals_one_without_faults(tmp_path: Path, kind: str) -> None:
    drops = frozenset({"k000", "k017"})
    broken = stages.Variants(fails=BAD, drops=drops, unwritable=frozenset({"k008"}), batch_size=2)
    store = store_of(tmp_path / "store", broken, stages.Noise(frozenset({"k019"})))
    whole = store_of(tmp_path / "whole", stages.Variants(drops=drops))
    summary = retry(store, stages.Variants(drops=drops), kind=kind)
    assert contents(store) == contents(whole)
    assert verify_store(store.url) == []
    assert store.quarantine().num_rows == 0
    assert (summary.retried, summary.recovered) == (len(BAD) + 3, len(BAD) + 3)
    assert not list(Path(store.url, ".scratch").glob("*"))


def test_only_what_failed_is_read_and_processed_and_whole_shards_are_not_touched(tmp_path: Path) -> None:
    class Reading(stages.Noise):
        def read(self, unit: WorkUnit):  # type: ignore[no-untyped-def]
            read.extend(unit.keys)
            return super().read(unit)

    class Processing(stages.Variants):
        def process(self, unit, batch):  # type: ignore[no-untyped-def]
            processed.extend(sample.key for sample in batch)
            return super().process(unit, batch)

    store = store_of(tmp_path / "store", stages.Variants(fails=frozenset({"k001", "k003"})))
    before = {name: digest for name, digest in files(store).items() if "000000" not in name}
    read: list[str] = []
    processed: list[str] = []
    retry(store, Processing(), Reading())
    assert read == processed == ["k001", "k003"]
    assert before.items() <= files(store).items()


def test_samples_that_fail_again_stay_and_recovered_ones_leave_the_quarantine(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", stages.Variants(fails=BAD))
    some = frozenset({"k003", "k011"})
    summary = retry(store, stages.Variants(fails=some))
    assert contents(store) == contents(store_of(tmp_path / "whole", stages.Variants(fails=some)))
    assert [row["key"] for row in store.quarantine().to_pylist()] == sorted(some)
    assert str(summary) == (
        "generate: 6 of 8 quarantined samples recovered, 2 failed again (2 x ArithmeticError), "
        "such as k003: ArithmeticError: no image for k003"
    )
    before = files(store)
    assert str(retry(store, stages.Variants(fails=some))).startswith("generate: 0 of 2 quarantined samples recovered")
    assert files(store) == before


def test_a_store_without_quarantine_stays_unchanged(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", stages.Variants())
    before = files(store)
    assert str(retry(store, stages.Variants())) == "generate: nothing is in quarantine"
    assert files(store) == before


def test_a_stage_that_breaks_down_leaves_the_shard_as_it_was(tmp_path: Path) -> None:
    class Misconfigured(stages.Variants):
        def process(self, _unit, _batch):  # type: ignore[no-untyped-def]
            raise UserError("prompt: no {weather} attribute")

    store = store_of(tmp_path / "store", stages.Variants(fails=BAD))
    before = files(store)
    with pytest.raises(UserError, match="prompt"):
        retry(store, Misconfigured())
    assert files(store) == before


def test_damage_to_the_old_shard_is_not_copied(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", stages.Variants(fails=frozenset({"k001"})))
    tar = Path(store.url, "shards/train-000000.tar")
    data = bytearray(tar.read_bytes())
    data[len(data) // 2] ^= 1
    tar.write_bytes(bytes(data))
    with pytest.raises(
        UnitFailed, match=r"CorruptStore: .*shards/train-000000\.tar: its bytes are not those of its receipt"
    ):
        retry(store, stages.Variants())


def test_a_shard_of_another_plan_is_refused(tmp_path: Path) -> None:
    other = [WorkUnit(unit.shard, unit.keys, {"k": 5}) for unit in UNITS]
    store = store_of(tmp_path / "store", stages.Variants(fails=frozenset({"k001"})), units=other)
    with pytest.raises(UserError, match=r"train-000000 was made from other samples .*--redo generate"):
        retry(store, stages.Variants())


def test_a_reader_from_before_never_takes_one_sample_for_another(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", stages.Variants(fails=BAD))
    reader = SampleReader(store)
    before = {key: reader.read(key) for key in reader.keys}
    retry(store, stages.Variants())
    moved = 0
    for key, sample in before.items():
        try:
            np.testing.assert_array_equal(reader.read(key).image, sample.image)
        except CorruptStore as error:
            assert "is not where it was" in str(error)
            moved += 1
    assert 0 < moved < len(before)
    fresh = SampleReader(store)
    for key, sample in before.items():
        np.testing.assert_array_equal(fresh.read(key).image, sample.image)
