"""A run makes each missing shard once, and stops where too much fails."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from augment.errors import UserError
from pipeline.engine import (
    ErrorBudget,
    Failed,
    Outcome,
    Resources,
    RunFailed,
    ShardTask,
    StageSummary,
    UnitFailed,
    WorkUnit,
    make_executor,
    run_store_stage,
)
from pipeline.engine.errors import raise_at_fault
from pipeline.engine.executor import SerialExecutor
from pipeline.store import FingerprintMismatch, Sample, Store, examine_store, verify_store
from tests.pipeline.engine import stages

REPOSITORY = Path(__file__).resolve().parents[3]


def run(
    root: Path,
    units: list[WorkUnit],
    stage: stages.Variants,
    source: stages.Noise | None = None,
    budget: ErrorBudget | None = None,
) -> tuple[Store, StageSummary]:
    store = Store.create(str(root), stages.MANIFEST)
    summary = run_store_stage(
        stage, source or stages.Noise(), store, units, make_executor("serial"), budget or ErrorBudget(), print
    )
    return store, summary


def digests(store: Store) -> dict[str, str]:
    return {receipt.shard: receipt.sha256 for receipt in store.receipts()}


def test_a_run_writes_every_planned_shard_and_a_second_one_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    stage = stages.Variants(log=str(log))
    store, summary = run(tmp_path / "store", stages.plan(3), stage)
    assert (summary.units, summary.done_before, summary.samples) == (3, 0, 30)
    assert verify_store(store.url) == []
    assert [line.split(";")[0] for line in capsys.readouterr().out.splitlines()] == [
        f"generate: {number + 1}/3 shards, train-{number:06d} written" for number in range(3)
    ]
    log.unlink()
    _, again = run(tmp_path / "store", stages.plan(3), stage)
    assert (again.done_before, again.samples) == (3, 0)
    assert not log.exists()


def test_a_resumed_run_makes_only_what_is_missing_with_equal_bytes(tmp_path: Path) -> None:
    whole, _ = run(tmp_path / "whole", stages.plan(5), stages.Variants())
    store, _ = run(tmp_path / "store", stages.plan(5), stages.Variants())
    store.discard("train-000001")
    store.discard("train-000004")
    log = tmp_path / "log"
    run(tmp_path / "store", stages.plan(5), stages.Variants(log=str(log)))
    assert set(log.read_text().split()) == {"train-000001", "train-000004"}
    assert digests(store) == digests(whole)


def test_a_unit_that_is_committed_is_not_run_again(tmp_path: Path) -> None:
    store, _ = run(tmp_path / "store", stages.plan(1), stages.Variants())
    log = tmp_path / "log"
    task = ShardTask(stages.Variants(log=str(log)), stages.Noise(), store.url)
    task.setup()
    assert task.run(stages.plan(1)[0]) == store.receipts()[0]
    assert not log.exists()


def test_a_longer_plan_extends_the_store(tmp_path: Path) -> None:
    run(tmp_path / "store", stages.plan(2), stages.Variants())
    log = tmp_path / "log"
    store, summary = run(tmp_path / "store", stages.plan(4), stages.Variants(log=str(log)))
    assert summary.done_before == 2
    assert set(log.read_text().split()) == {"train-000002", "train-000003"}
    assert store.index().num_rows == 40


def test_a_shard_made_from_other_samples_is_refused(tmp_path: Path) -> None:
    units = stages.plan(2)
    run(tmp_path, units, stages.Variants())
    for changed in (replace(units[1], keys=units[1].keys[:-1]), replace(units[1], params={"k": 5})):
        with pytest.raises(FingerprintMismatch, match="shard train-000001 was made from other samples"):
            run(tmp_path, [units[0], changed], stages.Variants())


def test_a_stopped_run_has_shards_left_to_make_and_a_finished_one_misses_what_is_lost(tmp_path: Path) -> None:
    class Broken(stages.Noise):
        def read(self, unit: WorkUnit) -> Iterator[Sample | Failed]:
            if unit.shard in ("train-000001", "train-000004"):
                raise ConnectionError("the bucket is gone")
            return super().read(unit)

    def faults_and_unmade() -> tuple[Sequence[str], int]:
        found = examine_store(str(tmp_path))
        return [fault.partition(":")[0] for fault in found.faults], found.unmade

    with pytest.raises(UnitFailed):
        run(tmp_path, stages.plan(3), stages.Variants(), Broken())
    assert faults_and_unmade() == ([], 2)
    run(tmp_path, stages.plan(3), stages.Variants())
    assert faults_and_unmade() == ([], 0)
    # One more shard is made of the three that it is extended by.
    with pytest.raises(UnitFailed):
        run(tmp_path, stages.plan(6), stages.Variants(), Broken())
    assert faults_and_unmade() == ([], 2)
    for number in range(4):
        receipt = tmp_path / f"done/train-{number:06d}.json"
        data = receipt.read_bytes()
        receipt.unlink()
        made = number < 3
        assert faults_and_unmade() == ([f"done/train-{number:06d}.json"] if made else [], 2 if made else 3)
        receipt.write_bytes(data)
    (tmp_path / "done/train-000001.json").unlink()
    run(tmp_path, stages.plan(6), stages.Variants())
    assert faults_and_unmade() == ([], 0)


def test_a_run_fails_where_the_executor_loses_a_unit_silently(tmp_path: Path) -> None:
    class Forgetful(SerialExecutor):
        def map(self, task, units, at_fault=raise_at_fault):  # type: ignore[no-untyped-def]
            return super().map(task, units[:-1], at_fault)

    store = Store.create(str(tmp_path), stages.MANIFEST)
    with pytest.raises(RunFailed, match="generate: 1 shards of the plan are missing, such as train-000002"):
        run_store_stage(
            stages.Variants(), stages.Noise(), store, stages.plan(3), Forgetful(), ErrorBudget(), lambda _: None
        )
    assert examine_store(store.url).unmade == 1


def test_resources_and_batch_size_change_no_byte(tmp_path: Path) -> None:
    one, _ = run(tmp_path / "one", stages.plan(2), stages.Variants(batch_size=1))
    other, _ = run(
        tmp_path / "other", stages.plan(2), stages.Variants(batch_size=64, resources=Resources(num_cpus=2, workers=3))
    )
    assert digests(one) == digests(other)


def test_bad_samples_are_quarantined_and_the_rest_written(tmp_path: Path) -> None:
    stage = stages.Variants(
        fails=frozenset({"k001", "k003"}), drops=frozenset({"k006"}), unwritable=frozenset({"k008"})
    )
    store, summary = run(tmp_path, stages.plan(2), stage, stages.Noise(frozenset({"k004"})))
    listed = store.quarantine().to_pylist()
    rows = {row["key"]: row for row in listed}
    assert [row["key"] for row in listed] == ["k001", "k003", "k004", "k008", "k008"]
    assert rows["k001"]["reason"] == "ArithmeticError: no image for k001"
    assert "in process" in rows["k001"]["traceback"]
    assert rows["k004"]["reason"] == "unreadable image: k004.png is truncated"
    assert rows["k008"]["reason"].startswith("bad metadata: ")
    assert rows["k008"]["reason"].endswith("(k008_v01)")
    assert {row["stage"] for row in rows.values()} == {"generate"}
    expected = [f"k{n:03d}_v{v:02d}" for n in (0, 2, 5, 7, 9) for v in range(2)]
    assert store.index()["key"].to_pylist() == expected
    assert summary.failure_reasons == {"ArithmeticError": 2, "unreadable image": 1, "bad metadata": 2}
    assert summary.drop_reasons == {"unreliable": 1}
    assert "5 quarantined (2 x ArithmeticError, 2 x bad metadata, 1 x unreadable image)" in str(summary)
    assert verify_store(store.url) == []


def test_a_unit_without_samples_commits_and_is_done(tmp_path: Path) -> None:
    stage = stages.Variants(drops=frozenset(f"k{number:03d}" for number in range(5)))
    store, _ = run(tmp_path, stages.plan(2), stage)
    assert [receipt.samples for receipt in store.receipts()] == [0, 10]
    assert run(tmp_path, stages.plan(2), stage)[1].done_before == 2
    assert verify_store(store.url) == []


@pytest.mark.parametrize(
    ("bad", "budget", "stops"),
    [
        (10, ErrorBudget(), False),
        (11, ErrorBudget(), True),
        (3, ErrorBudget(rate=0.0, minimum=2), True),
        (20, ErrorBudget(rate=0.5, minimum=0), False),
    ],
)
def test_over_budget_a_run_stops_and_says_why(tmp_path: Path, bad: int, budget: ErrorBudget, stops: bool) -> None:
    source = stages.Noise(frozenset(f"k{5 * (n % 10) + n // 10:03d}" for n in range(bad)))
    if not stops:
        assert run(tmp_path, stages.plan(10), stages.Variants(), source, budget)[1].failures == bad
        return
    with pytest.raises(RunFailed, match=rf"generate: {bad} of \d+ samples failed, .*: {bad} x unreadable image"):
        run(tmp_path, stages.plan(10), stages.Variants(), source, budget)
    assert Store.open(str(tmp_path)).done()


def test_a_source_that_raises_ends_the_run_and_leaves_the_shard_to_the_next(tmp_path: Path) -> None:
    class Broken(stages.Noise):
        def read(self, unit: WorkUnit) -> Iterator[Sample | Failed]:
            yield from super().read(unit)
            if unit.shard == "train-000001":
                raise ConnectionError("the bucket is gone")

    with pytest.raises(UnitFailed, match="train-000001: ConnectionError: the bucket is gone"):
        run(tmp_path / "store", stages.plan(3), stages.Variants(), Broken())
    store, summary = run(tmp_path / "store", stages.plan(3), stages.Variants())
    assert summary.done_before == 1
    assert digests(store) == digests(run(tmp_path / "whole", stages.plan(3), stages.Variants())[0])


def test_a_users_mistake_in_a_stage_is_no_bad_sample(tmp_path: Path) -> None:
    class Misconfigured(stages.Variants):
        def process(self, _unit: WorkUnit, _batch: Sequence[Sample]) -> Sequence[Outcome]:
            raise UserError("prompt: no {weather} attribute in this store")

    with pytest.raises(UserError, match="prompt"):
        run(tmp_path, stages.plan(1), Misconfigured())


def test_a_plan_names_a_shard_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="twice"):
        run(tmp_path, stages.plan(1) * 2, stages.Variants())


RUN_UNTIL_KILLED = """
    import sys
    sys.path.insert(0, sys.argv[2])
    from pathlib import Path
    from tests.pipeline.engine import stages, test_run_stage
    from pipeline.engine import WorkUnit

    class Slow(stages.Variants):
        def process(self, unit, batch):
            print(unit.shard, flush=True)
            return super().process(unit, batch)

    test_run_stage.run(Path(sys.argv[1]), stages.plan(40), Slow())
"""


def test_a_killed_run_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        textwrap.dedent(RUN_UNTIL_KILLED),
        str(tmp_path / "store"),
        str(REPOSITORY),
    ]
    for batches in (3, 8, 13):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(batches):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        assert verify_store(str(tmp_path / "store")) == []
    killed, summary = run(tmp_path / "store", stages.plan(40), stages.Variants())
    assert summary.samples < 400
    whole, _ = run(tmp_path / "whole", stages.plan(40), stages.Variants())
    assert digests(killed) == digests(whole)
    assert max(Counter(killed.index()["key"].to_pylist()).values()) == 1
    assert not list((tmp_path / "store/.scratch").glob("*"))


def test_a_run_in_which_every_sample_fails_stops_whatever_the_budget(tmp_path: Path) -> None:
    units = stages.plan(1)
    stage = stages.Variants(fails=frozenset(units[0].keys))
    with pytest.raises(
        RunFailed,
        match=r"all 5 samples failed: 5 x ArithmeticError, such as k000: ArithmeticError: no image for k000; see ",
    ):
        run(tmp_path, units, stage, budget=ErrorBudget(minimum=100))
