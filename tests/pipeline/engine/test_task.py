"""The units in a worker's hands overlap, but for their turns at the stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from pipeline.engine import Failed, Outcome, ShardTask, WorkUnit
from pipeline.engine.progress import take_remarks
from pipeline.store import Sample, Store, verify_store
from tests.pipeline.engine import stages

DEADLINE_SECONDS = 60


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Gate(stages.Variants):
    """Holds the first batch of the run until the gate opens, and knows whether two were ever inside."""

    def setup(self) -> None:
        super().setup()
        self.opened = threading.Event()
        self.inside = threading.Semaphore(1)
        self.entered: list[str] = []
        self.overlapped = False

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> Sequence[Outcome]:
        if not self.inside.acquire(blocking=False):
            self.overlapped = True
            return super().process(unit, batch)
        try:
            self.entered.append(unit.shard)
            assert self.opened.wait(DEADLINE_SECONDS)
            return super().process(unit, batch)
        finally:
            self.inside.release()


class Logged(stages.Noise):
    """Says which keys it has read."""

    def read(self, unit: WorkUnit) -> Iterator[Sample | Failed]:
        for item in super().read(unit):
            READ.append(item.key)
            yield item


READ: list[str] = []


@pytest.fixture
def task(tmp_path: Path) -> ShardTask:
    READ.clear()
    task = ShardTask(Gate(batch_size=2), Logged(), Store.create(str(tmp_path), stages.MANIFEST).url)
    task.setup()
    return task


def test_the_next_unit_is_read_while_one_is_at_the_stage_and_never_two_are(task: ShardTask) -> None:
    assert isinstance(task.stage, Gate)
    units = stages.plan(3)
    with ThreadPoolExecutor(task.units_at_once) as pool:
        first = pool.submit(task.run, units[0])
        wait_for(lambda: task.stage.entered == ["train-000000"])
        others = [pool.submit(task.run, unit) for unit in units[1:]]
        wait_for(lambda: {units[1].keys[0], units[2].keys[0]} <= set(READ))
        assert task.stage.entered == ["train-000000"]
        task.stage.opened.set()
        for future in (first, *others):
            future.result()
    assert not task.stage.overlapped
    assert len(Store.open(task.store_url).done()) == 3
    assert verify_store(task.store_url) == []


def test_a_stage_that_waits_bounds_what_is_read_ahead(task: ShardTask) -> None:
    assert isinstance(task.stage, Gate)
    unit = WorkUnit("train-000000", tuple(f"k{number:03d}" for number in range(500)))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(task.run, unit)
        wait_for(lambda: task.stage.entered != [])
        wait_for(lambda: stalled(len(READ)))
        assert len(READ) < 60
        task.stage.opened.set()
        assert running.result().samples == 1000


def stalled(before: int) -> bool:
    time.sleep(1)
    return len(READ) == before


def test_units_in_hand_write_the_bytes_of_units_one_by_one(tmp_path: Path, task: ShardTask) -> None:
    assert isinstance(task.stage, Gate)
    task.stage.opened.set()
    units = stages.plan(6)
    with ThreadPoolExecutor(task.units_at_once) as pool:
        together = {receipt.shard: receipt.sha256 for receipt in pool.map(task.run, units)}
    alone = ShardTask(stages.Variants(batch_size=5), stages.Noise(), str(tmp_path / "alone"))
    Store.create(alone.store_url, stages.MANIFEST)
    alone.setup()
    assert {receipt.shard: receipt.sha256 for receipt in map(alone.run, units)} == together


class Begins(stages.Variants):
    """Begins batches, and fails on some keys as it begins or as its outcomes are waited for."""

    fails_at = "wait"

    def setup(self) -> None:
        super().setup()
        self.events: list[str] = []

    def begin(self, unit: WorkUnit, batch: Sequence[Sample]) -> Callable[[], Sequence[Outcome]]:
        outcomes = partial(self.process, unit, batch)
        self.events.append(f"begin {batch[0].key}")
        found = outcomes() if self.fails_at == "begin" else None

        def wait() -> Sequence[Outcome]:
            self.events.append(f"wait {batch[0].key}")
            return outcomes() if found is None else found

        return wait


class BeginsAndFillsMemory(Begins, stages.FillsMemory):
    """Begins batches, and runs out of memory as it begins or as its outcomes are waited for."""


@pytest.mark.parametrize(("fails_at", "tries"), [("begin", 1), ("wait", 2)])
def test_a_batch_that_was_begun_and_does_not_fit_is_halved_at_once(tmp_path: Path, fails_at: str, tries: int) -> None:
    stage = BeginsAndFillsMemory(batch_size=2, fits=1, log=str(tmp_path / "sizes"))
    stage.fails_at = fails_at
    store = Store.create(str(tmp_path / "store"), stages.MANIFEST)
    task = ShardTask(stage, stages.Noise(), store.url)
    task.setup()
    assert sum(task.run(unit).samples for unit in stages.plan(2)) == 2 * 2 * stages.KEYS_PER_UNIT
    sizes = [int(size) for size in (tmp_path / "sizes").read_text().split()]
    # The second batch has begun before the outcomes of the first are waited for.
    assert sizes.count(2) == tries and max(sizes) == 2
    assert take_remarks() == [
        "generate: a batch of 2 does not fit into memory: a worker goes on with 1 at a time; "
        "set cluster.stages.generate.batch_size=1 to start with that"
    ]


@pytest.mark.parametrize("fails_at", ["begin", "wait"])
def test_a_batch_begins_before_the_one_before_is_waited_for_and_fails_alone(tmp_path: Path, fails_at: str) -> None:
    receipts = []
    for kind in (Begins, stages.Variants):
        stage = kind(batch_size=2, fails=frozenset({"k003"}))
        stage.fails_at = fails_at  # type: ignore[attr-defined]
        store = Store.create(str(tmp_path / kind.__name__), stages.MANIFEST)
        task = ShardTask(stage, stages.Noise(), store.url)
        task.setup()
        receipts.append([task.run(unit) for unit in stages.plan(2)])
        assert [row["key"] for row in store.quarantine().to_pylist()] == ["k003"]
        if isinstance(stage, Begins):
            second = ["begin k005", "begin k007", "wait k005", "begin k009", "wait k007", "wait k009"]
            assert stage.events[-6:] == second
    assert [one.sha256 for one in receipts[0]] == [one.sha256 for one in receipts[1]]


def test_a_batch_that_fills_memory_as_it_begins_is_halved(tmp_path: Path) -> None:
    stage = stages.FillsMemory(fits=1, batch_size=4)
    stage.begin = lambda unit, batch: partial(list, stage.process(unit, batch))  # type: ignore[attr-defined]
    store = Store.create(str(tmp_path), stages.MANIFEST)
    task = ShardTask(stage, stages.Noise(), store.url)
    task.setup()
    assert [task.run(unit).samples for unit in stages.plan(2)] == [10, 10]
