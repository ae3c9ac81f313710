"""One contract, two executors."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest
import torch

from augment.errors import UserError
from pipeline.engine import (
    ErrorBudget,
    Executor,
    Resources,
    RunFailed,
    UnitFailed,
    make_executor,
    run_store_stage,
)
from pipeline.store import Store, verify_store
from tests.pipeline.engine import stages

KINDS = ["serial", "ray"]


def executor_of(kind: str, request: pytest.FixtureRequest) -> Executor:
    executor: Executor = request.getfixturevalue("ray_executor") if kind == "ray" else make_executor("serial")
    return executor


@pytest.fixture(params=KINDS)
def executor(request: pytest.FixtureRequest) -> Executor:
    return executor_of(request.param, request)


def test_each_unit_comes_back_once_with_its_result(executor: Executor) -> None:
    units = stages.plan(7)
    results = list(executor.map(stages.Task(), units))
    assert sorted(unit.shard for unit, _ in results) == [unit.shard for unit in units]
    assert all(unit.shard == shard for unit, (shard, _) in results)
    assert list(executor.map(stages.Task(), [])) == []


def test_a_set_up_that_raises_fails_the_run_once_with_its_cause(executor: Executor, tmp_path: Path) -> None:
    log = tmp_path / "setups"
    task = stages.SetupRaises(log=str(log), resources=Resources(workers=1))
    with pytest.raises(UnitFailed, match=r"setting up probe: OSError: weights\.safetensors is cut short") as raised:
        list(executor.map(task, stages.plan(3)))
    assert "in setup" in raised.value.traceback
    assert log.read_text().splitlines() == ["setup"]


def test_a_users_mistake_arrives_as_one(executor: Executor) -> None:
    with pytest.raises(UserError, match=r"^base: no model at \./sd15, expected a diffusers folder$"):
        list(executor.map(stages.SetupRefuses(), stages.plan(2)))


def test_a_unit_that_raises_ends_the_run_and_is_named(executor: Executor) -> None:
    with pytest.raises(UnitFailed, match=r"train-000002: ZeroDivisionError: cannot") as raised:
        list(executor.map(stages.RunRaises(), stages.plan(4)))
    assert raised.value.shard == "train-000002"
    assert "run" in raised.value.traceback
    assert len(list(executor.map(stages.Task(), stages.plan(2)))) == 2


def test_closing_ends_a_run(executor: Executor) -> None:
    with closing(executor.map(stages.Task(), stages.plan(6))) as results:
        next(results)
    assert len(list(executor.map(stages.Task(), stages.plan(2)))) == 2


@pytest.mark.parametrize(("asked", "found"), [(None, os.cpu_count()), (1, 1), (3, 3)])
def test_a_worker_sets_its_own_torch_threads(
    executor: Executor, asked: int | None, found: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever else this machine is doing.
    monkeypatch.setattr("pipeline.engine.worker._core_times", lambda: None)
    if asked is None and "ray" in request.node.name:
        found = 2  # the test cluster has two slots, whatever the machine has
    before = torch.get_num_threads()
    torch.set_num_threads(5)
    try:
        results = list(executor.map(stages.Threads(Resources(threads=asked)), stages.plan(1)))
        assert torch.get_num_threads() == 5
    finally:
        torch.set_num_threads(before)
    assert [threads for _, (_, threads) in results] == [found]


def test_a_lost_worker_is_replaced_and_reported_and_its_unit_run_again(
    ray_executor: Executor, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    task = stages.DiesOnce(marker=str(tmp_path / "died"))
    results = list(ray_executor.map(task, stages.plan(4)))
    assert caplog.messages == ["train-000001: run again, 1 of its workers were lost before"]
    assert "(raylet)" not in capfd.readouterr().out
    assert sorted(shard for _, (shard, _) in results) == [unit.shard for unit in stages.plan(4)]
    assert Path(task.marker).exists()
    assert os.getpid() not in {pid for _, (_, pid) in results}


@pytest.mark.usefixtures("ray_cluster")
def test_a_unit_that_kills_every_worker_ends_the_run_and_is_named() -> None:
    from pipeline.engine.ray_executor import RayExecutor

    with pytest.raises(UnitFailed, match="train-000001: lost worker: 2 workers were killed"):
        list(RayExecutor(max_attempts=2).map(stages.AlwaysDies(), stages.plan(2)))


def test_a_lost_device_costs_its_worker_and_no_sample(ray_executor: Executor, tmp_path: Path) -> None:
    units = stages.plan(3)
    lost = Store.create(str(tmp_path / "lost"), stages.MANIFEST)
    stage = stages.LosesDevice(marker=str(tmp_path / "died"))
    run_store_stage(stage, stages.Noise(), lost, units, ray_executor, ErrorBudget(), print)
    whole = Store.create(str(tmp_path / "whole"), stages.MANIFEST)
    run_store_stage(stages.Variants(), stages.Noise(), whole, units, make_executor("serial"), ErrorBudget(), print)
    assert Path(stage.marker).exists()
    assert [receipt.sha256 for receipt in lost.receipts()] == [receipt.sha256 for receipt in whole.receipts()]
    assert lost.quarantine().num_rows == 0


def test_a_lost_device_ends_a_serial_run(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "store"), stages.MANIFEST)
    stage = stages.LosesDevice(marker=str(tmp_path / "died"))
    with pytest.raises(RunFailed, match="train-000001: the device is lost: CUDA error"):
        run_store_stage(stage, stages.Noise(), store, stages.plan(3), make_executor("serial"), ErrorBudget(), print)
    assert store.done() == {"train-000000"}


def test_both_executors_write_the_same_bytes(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    units = stages.plan(4)
    stage = stages.Variants(fails=frozenset({"k007"}), drops=frozenset({"k001"}))
    source = stages.Noise(unreadable=frozenset({"k012"}))
    contents = []
    for kind in KINDS:
        store = Store.create(str(tmp_path / kind), stages.MANIFEST)
        run_store_stage(stage, source, store, units, executor_of(kind, request), ErrorBudget(), print)
        assert verify_store(store.url) == []
        contents.append(
            [(r.shard, r.sha256, r.index_sha256, r.samples, r.failures, r.dropped, r.unit) for r in store.receipts()]
        )
    assert contents[0] == contents[1]
    assert sum(samples for _, _, _, samples, *_ in contents[0]) == 2 * (20 - 3)


@pytest.mark.parametrize(
    "resources",
    [Resources(workers=2), Resources(num_cpus=2, workers=1), Resources(num_cpus=2), Resources(num_gpus=1)],
)
def test_a_pool_that_would_take_the_last_slot_is_refused_before_it_starts(
    ray_executor: Executor, resources: Resources
) -> None:
    with pytest.raises(UserError, match=r"probe: the cluster has 2 CPU and 0 GPU slots .* the stage asks for"):
        list(ray_executor.map(stages.Task(resources=resources), stages.plan(2)))


def test_no_cluster_is_a_users_mistake() -> None:
    with pytest.raises(UserError, match="neither"):
        make_executor("slurm")  # type: ignore[arg-type]
