"""A training ends with its result, whatever happens to its workers; only a missing step stops it."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from augment.errors import UserError
from augment.progress import TrainingStep
from pipeline.engine import Executor, Resources, UnitFailed, WorkUnit, make_executor, ray_training
from pipeline.engine.faults import Attempts, History
from pipeline.engine.ray_executor import RayExecutor
from pipeline.engine.ray_pool import Pool
from tests.pipeline.engine import trainings


class Steps:
    """Collects the steps of each unit."""

    def __init__(self) -> None:
        self.taken: dict[str, list[int]] = defaultdict(list)

    def __call__(self, unit: WorkUnit, step: TrainingStep) -> None:
        self.taken[unit.shard].append(step.step)


@pytest.fixture(params=["serial", "ray"])
def executor(request: pytest.FixtureRequest) -> Executor:
    executor: Executor = request.getfixturevalue("ray_executor") if request.param == "ray" else make_executor("serial")
    return executor


def test_each_training_gives_its_result_and_reports_its_last_step(executor: Executor, tmp_path: Path) -> None:
    steps, units = Steps(), trainings.units(3)
    task = trainings.Counting(str(tmp_path))
    results = {unit.shard: result for unit, result in executor.train(task, units, steps)}
    assert results == {unit.shard: [1, 2, 3, 4] for unit in units}
    for taken in steps.taken.values():
        assert taken == sorted(set(taken)) and taken[-1] == 4
    assert set(steps.taken) == {unit.shard for unit in units}


@pytest.mark.parametrize(
    ("task", "error", "message"),
    [
        (trainings.Raises, UnitFailed, "run-000000: ZeroDivisionError: cannot"),
        (trainings.Refuses, UserError, "the loss is nan at step 3"),
    ],
)
def test_error_of_a_training_is_raised(
    executor: Executor, tmp_path: Path, task: type[trainings.Counting], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        list(executor.train(task(str(tmp_path)), trainings.units(1), Steps()))
    assert str(raised.value) == message


def test_training_longer_than_the_timeout_is_not_taken_for_hung(
    executor: Executor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = trainings.Counting(str(tmp_path), steps=8, seconds=0.4, resources=Resources(unit_timeout=1.5))
    ((_, taken),) = executor.train(task, trainings.units(1), Steps())
    assert taken == list(range(1, 9))
    assert "not done after" not in caplog.text


@pytest.mark.usefixtures("ray_cluster")
def test_training_goes_on_from_its_checkpoint_however_often_its_worker_is_lost(tmp_path: Path) -> None:
    steps, task = Steps(), trainings.DiesAtEveryStep(str(tmp_path), steps=5)
    ((_, taken),) = RayExecutor(max_attempts=2).train(task, trainings.units(1), steps)
    # The last attempt takes the last step alone.
    assert taken == [5]
    assert steps.taken["run-000000"] == [1, 2, 3, 4, 5]


@pytest.mark.usefixtures("ray_cluster")
def test_attempts_that_ray_train_makes_by_itself_count_only_without_progress() -> None:
    import ray

    attempts: Any = ray.remote(num_cpus=0)(Attempts).remote(2)
    reports = ray_training.StepsOfUnits(trainings.units(1), Pool(1, 1, attempts, 0, {}), Steps())

    def attempt(number: int, step: int) -> History:
        ray.get(attempts.begin.remote(0, 0))
        ray.get(reports.actor.put.remote("run-000000", f"attempt {number}", TrainingStep(step, 9, {}, 1.0)))
        reports.deliver()
        history: History = ray.get(attempts.history.remote(0, 0))
        return history

    assert [attempt(number, number).begun for number in range(1, 5)] == [0] * 4
    # From the checkpoint again, and no further.
    assert [attempt(number, 4).begun for number in (5, 6)] == [1, 2]
    for actor in (attempts, reports.actor):
        ray.kill(actor)


def test_training_that_loses_its_device_goes_on_in_another_worker(ray_executor: Executor, tmp_path: Path) -> None:
    ((_, taken),) = ray_executor.train(trainings.LosesDevice(str(tmp_path)), trainings.units(1), Steps())
    assert taken == [3, 4]


def test_training_that_loses_its_device_ends_a_serial_run(tmp_path: Path) -> None:
    with pytest.raises(UnitFailed, match="run-000000: the device is lost: CUDA error: uncorrectable ECC"):
        list(make_executor("serial").train(trainings.LosesDevice(str(tmp_path)), trainings.units(1), Steps()))


@pytest.mark.usefixtures("ray_cluster")
def test_training_that_loses_its_workers_without_a_step_ends_the_run_and_is_named(tmp_path: Path) -> None:
    task = trainings.DiesAlways(str(tmp_path))
    with pytest.raises(UnitFailed, match="run-000001: lost worker: 2 workers were killed or ran out of memory"):
        list(RayExecutor(max_attempts=2).train(task, trainings.units(2), Steps()))


def test_training_whose_workers_end_before_they_begin_ends_the_run_and_is_named(
    ray_executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_training, "_MOST_LOSSES", 1)
    with pytest.raises(UnitFailed, match="run-000000: lost worker: 2 workers ended before they took a step"):
        list(ray_executor.train(trainings.Unloadable(str(tmp_path)), trainings.units(1), Steps()))


def test_training_without_a_step_for_the_timeout_hangs_and_says_where(ray_executor: Executor, tmp_path: Path) -> None:
    task = trainings.Stalls(str(tmp_path), resources=Resources(unit_timeout=2))
    with pytest.raises(UnitFailed, match="run-000000: hung: no step was taken within 2 s") as raised:
        list(ray_executor.train(task, trainings.units(1), Steps()))
    assert "time.sleep(600)" in raised.value.traceback


def test_training_that_is_interrupted_leaves_no_worker(ray_executor: Executor, tmp_path: Path) -> None:
    import ray

    def interrupt(_unit: WorkUnit, _step: TrainingStep) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(ray_executor.train(trainings.Stalls(str(tmp_path)), trainings.units(2), interrupt))
    deadline = time.monotonic() + 60
    while ray.available_resources().get("CPU") != ray.cluster_resources()["CPU"]:
        assert time.monotonic() < deadline, "the trainings still hold their slots"
        time.sleep(0.1)
