"""Workers that train together give what one gives, whatever happens to them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from augment.errors import UserError
from augment.progress import TrainingStep
from pipeline.engine import Executor, Resources, WorkUnit, make_executor
from pipeline.engine.stage import most_workers
from tests.pipeline.engine import groups, trainings


def trained(executor: Executor, task: groups.Regression) -> tuple[dict[str, list[float]], int]:
    def ignore(_unit: WorkUnit, _step: TrainingStep) -> None:
        """The steps are in the log."""

    ((_, found),) = executor.train(task, trainings.units(1), ignore)
    return found


def log_of(folder: Path) -> list[tuple[int, float]]:
    rows: list[dict[str, Any]] = [json.loads(row) for row in (folder / "loss.jsonl").read_text().splitlines()]
    return [(row["step"], row["error"]) for row in rows if "error" in row]


def validation_of(folder: Path) -> list[tuple[int, float, float]]:
    rows: list[dict[str, Any]] = [json.loads(row) for row in (folder / "loss.jsonl").read_text().splitlines()]
    names = ("step", "validation/mean", "validation/spread")
    return [tuple(row[name] for name in names) for row in rows if names[1] in row]  # type: ignore[misc]


@pytest.fixture(scope="module")
def together(ray_executor: Executor, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[float]], Path]:
    """The weights that two workers give, and the folder of their log."""
    folder = tmp_path_factory.mktemp("two")
    weights, workers = trained(ray_executor, groups.Regression(str(folder)))
    assert workers == 2
    return weights, folder


def test_two_workers_give_what_one_gives_up_to_the_order_of_sums(
    together: tuple[dict[str, list[float]], Path], tmp_path: Path
) -> None:
    weights, workers = trained(make_executor("serial"), groups.Regression(str(tmp_path)))
    assert workers == 1
    for name, values in weights.items():
        np.testing.assert_allclose(together[0][name], values, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(log_of(together[1]), log_of(tmp_path), atol=2e-5)
    # Both measure the averaged weights, and then train on from their own.
    np.testing.assert_allclose(validation_of(together[1]), validation_of(tmp_path), atol=2e-5)
    assert [(step, spread) for step, _, spread in validation_of(together[1])] == [(3, 0), (6, 0), (8, 0)]


def test_worker_that_is_lost_changes_no_bit(
    ray_executor: Executor, together: tuple[dict[str, list[float]], Path], tmp_path: Path
) -> None:
    weights, workers = trained(ray_executor, groups.LosesItsLeader(str(tmp_path)))
    assert workers == 2
    assert Path(f"{tmp_path}-died").exists()
    assert weights == together[0]
    assert log_of(tmp_path) == log_of(together[1])
    assert validation_of(tmp_path) == validation_of(together[1])


def test_error_of_any_worker_ends_the_training_in_one_line_and_frees_its_slots(
    ray_executor: Executor, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"^image 7 is damaged$"):
        trained(ray_executor, groups.FollowerRefuses(str(tmp_path)))
    deadline = time.monotonic() + 60
    while ray.available_resources().get("CPU") != ray.cluster_resources()["CPU"]:
        assert time.monotonic() < deadline, "the workers still hold their slots"
        time.sleep(0.1)


def test_workers_are_as_many_as_asked_for_and_never_more_than_samples() -> None:
    def most(**resources: Any) -> int | None:
        return most_workers(groups.Regression("", Resources(**resources)))

    assert most(workers=2) == most(workers=100) == most(num_gpus=1) == 5
    assert most() == 1, "the cores of a machine are the threads of one worker"
    assert most_workers(trainings.Counting("")) is None
