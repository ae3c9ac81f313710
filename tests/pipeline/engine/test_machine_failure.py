"""Failures of the machine: workers that hang or die, and disks that are full."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.engine import ErrorBudget, Resources, RunFailed, UnitFailed, WorkUnit, make_executor, run_store_stage
from pipeline.engine.ray_executor import RayExecutor
from pipeline.store import Store, examine_store, verify_store
from tests.pipeline.engine import stages

UNITS = stages.plan(5)


def others(store: Store) -> dict[str, str]:
    """The digests of the shards of all units but the one at fault."""
    return {receipt.shard: receipt.sha256 for receipt in store.receipts() if not receipt.shard.endswith("1")}


@pytest.fixture
def whole(tmp_path: Path) -> Store:
    store = Store.create(str(tmp_path / "whole"), stages.MANIFEST)
    run_store_stage(stages.Variants(), stages.Noise(), store, UNITS, make_executor("serial"), ErrorBudget(), print)
    return store


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("held", [False, True], ids=["waiting", "holding the interpreter"])
def test_a_unit_that_hangs_is_quarantined_and_no_other_is_touched(tmp_path: Path, whole: Store, held: bool) -> None:
    store = Store.create(str(tmp_path / "store"), stages.MANIFEST)
    stage = stages.Hangs(held=held, resources=Resources(unit_timeout=8))
    executor = RayExecutor(max_attempts=2)
    summary = run_store_stage(stage, stages.Noise(), store, UNITS, executor, ErrorBudget(), print)
    rows = store.quarantine().to_pylist()
    assert [row["key"] for row in rows] == list(UNITS[1].keys)
    assert {row["stage"] for row in rows} == {"generate"}
    if held:
        assert all(row["reason"].startswith("lost worker: 2 workers") for row in rows)
    else:
        assert all(row["reason"].startswith("hung: no unit of its worker ended within 8 s") for row in rows)
        assert all("time.sleep(600)" in row["traceback"] for row in rows)
    assert (summary.samples, summary.failures) == (40, 5)
    assert others(store) == others(whole)
    assert verify_store(store.url) == []


@pytest.mark.usefixtures("ray_cluster")
def test_a_unit_that_kills_every_worker_is_quarantined_and_no_other_is_blamed(tmp_path: Path, whole: Store) -> None:
    store = Store.create(str(tmp_path / "store"), stages.MANIFEST)
    executor = RayExecutor(max_attempts=3)
    run_store_stage(stages.Kills(), stages.Noise(), store, UNITS, executor, ErrorBudget(), print)
    rows = store.quarantine().to_pylist()
    assert [row["key"] for row in rows] == list(UNITS[1].keys)
    assert {row["reason"].split(":")[0] for row in rows} == {"lost worker"}
    assert others(store) == others(whole)


@pytest.mark.usefixtures("ray_cluster")
def test_a_unit_that_is_given_up_counts_against_the_budget(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "store"), stages.MANIFEST)
    stage = stages.Kills()
    with pytest.raises(RunFailed, match=r"5 of \d+ samples failed, over the budget .* 5 x lost worker"):
        run_store_stage(stage, stages.Noise(), store, UNITS, RayExecutor(max_attempts=2), ErrorBudget(minimum=4), print)


@pytest.mark.usefixtures("ray_cluster")
def test_a_set_up_that_kills_every_worker_ends_the_run_and_is_named() -> None:
    with pytest.raises(UnitFailed, match="setting up probe: lost worker: 2 workers were killed"):
        list(RayExecutor(max_attempts=2).map(stages.SetupDies(), stages.plan(3)))


@pytest.mark.usefixtures("ray_cluster")
def test_a_set_up_that_hangs_ends_the_run_and_says_where() -> None:
    task = stages.SetupHangs(resources=Resources(setup_timeout=4))
    with pytest.raises(UnitFailed, match="setting up probe: hung: it did not end within 4 s") as raised:
        list(RayExecutor().map(task, stages.plan(5)))
    assert "time.sleep(600)" in raised.value.traceback


@pytest.mark.usefixtures("ray_cluster")
def test_a_set_up_that_hangs_once_costs_its_worker_and_no_unit(tmp_path: Path) -> None:
    task = stages.SetupHangsOnce(marker=str(tmp_path / "hung"), resources=Resources(setup_timeout=4, unit_timeout=60))
    results = list(RayExecutor().map(task, stages.plan(5)))
    assert sorted(shard for _, (shard, _) in results) == [unit.shard for unit in stages.plan(5)]
    assert Path(task.marker).exists()


def test_a_serial_run_warns_of_a_set_up_that_takes_too_long(caplog: pytest.LogCaptureFixture) -> None:
    class Slow(stages.Task):
        def setup(self) -> None:
            for _ in range(600):
                if "setting up probe: not done after 0.2 s; a serial run waits for it" in caplog.text:
                    return
                stages.time.sleep(0.1)

    units = stages.plan(2)
    assert len(list(make_executor("serial").map(Slow(resources=Resources(setup_timeout=0.2)), units))) == 2
    assert "in setup" in caplog.text


def test_a_serial_run_warns_of_a_unit_that_takes_too_long(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Slow(stages.Variants):
        def process(self, unit, batch):  # type: ignore[no-untyped-def]
            for _ in range(600):
                if "train-000000: not done after 0.2 s" in caplog.text:
                    break
                stages.time.sleep(0.1)
            return super().process(unit, batch)

    store = Store.create(str(tmp_path / "store"), stages.MANIFEST)
    stage = Slow(resources=Resources(unit_timeout=0.2))
    run_store_stage(stage, stages.Noise(), store, UNITS[:1], make_executor("serial"), ErrorBudget(), print)
    assert "train-000000: not done after 0.2 s; a serial run waits for it" in caplog.text
    assert "in process" in caplog.text
    assert store.done() == {"train-000000"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("kind", ["serial", "ray"])
def test_a_full_disk_is_reported_in_one_line_and_the_run_goes_on_once_there_is_room(
    small_disk: Path, whole: Store, kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "ray":
        request.getfixturevalue("ray_cluster")
    executor = make_executor(kind)  # type: ignore[arg-type]
    store = Store.create(str(small_disk / "store"), stages.MANIFEST)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(900 << 10))
    with pytest.raises(
        RunFailed, match=r"no space left at .*/disk/store: \S+ KiB free of 1024 KiB: make room"
    ) as raised:
        run_store_stage(stages.Variants(), stages.Noise(), store, UNITS, executor, ErrorBudget(), print)
    assert "\n" not in str(raised.value)
    found = examine_store(store.url)
    assert (found.faults, found.shards + found.unmade) == ([], len(UNITS))
    assert found.unmade
    ballast.unlink()
    run_store_stage(stages.Variants(), stages.Noise(), store, UNITS, executor, ErrorBudget(), print)
    assert [r.sha256 for r in store.receipts()] == [r.sha256 for r in whole.receipts()]


@dataclass(frozen=True)
class Deadly:
    """Unit 2 takes its worker down, once two others are in it or after a while."""

    log: str
    units_at_once: int = 3
    resources: Resources = field(default_factory=lambda: Resources(workers=1))
    name: str = "deadly"

    def setup(self) -> None:
        """Nothing to load."""

    def run(self, unit: WorkUnit) -> str:
        self.note(unit, "in")
        if unit.shard.endswith("2"):
            until = time.monotonic() + 3
            while time.monotonic() < until and self.others() < 2:
                time.sleep(0.02)
            self.note(unit, f"with {self.others()}")
            os._exit(1)
        time.sleep(0.5)
        self.note(unit, "out")
        return unit.shard

    def note(self, unit: WorkUnit, what: str) -> None:
        with Path(self.log).open("a") as log:
            log.write(f"{os.getpid()} {unit.shard} {what}\n")

    def others(self) -> int:
        mine = [
            line.split()[2] for line in Path(self.log).read_text().splitlines() if line.startswith(f"{os.getpid()} ")
        ]
        return mine.count("in") - mine.count("out") - 1


@pytest.mark.usefixtures("ray_cluster")
def test_no_unit_is_blamed_for_the_one_beside_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    blamed: list[str] = []

    def give_up(unit: WorkUnit, _reason: str, _traceback: str) -> str:
        blamed.append(unit.shard)
        return unit.shard

    units = [WorkUnit(f"train-{number:06d}", (f"k{number}",)) for number in range(6)]
    results = RayExecutor(max_attempts=2).map(Deadly(str(log)), units, give_up)
    assert sorted(unit.shard for unit, _ in results) == [unit.shard for unit in units]
    assert blamed == ["train-000002"]
    company = [line.rpartition(" ")[2] for line in log.read_text().splitlines() if " with " in line]
    assert company == ["2", "0"]
