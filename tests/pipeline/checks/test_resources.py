"""Plan and run both refuse requests for missing resources, before any work and without starting a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest

from augment.errors import UserError
from pipeline.checks import resources as resource_checks
from pipeline.checks.resources import require_resources, require_room
from pipeline.config import Config
from pipeline.stages.adapt import AdaptStep
from pipeline.stages.job import Job
from pipeline.stages.registry import STEPS
from pipeline.stages.step import Step
from tests.pipeline.checks.refusal import refusal
from tests.pipeline.workflow.test_run import kept

Configure = Callable[..., Config]


def steps(config: Config, **parts: int) -> list[Step]:
    """The steps of a run with these names, each with this number of pieces of work."""
    job = Job(config)
    found = [job.step(kind) for kind in STEPS if kind.name in parts]
    for step in found:
        step.parts = partial(parts.__getitem__, step.name)
    return found


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["cluster.stages.generate.num_gpus=1"], "cluster.stages.generate.num_gpus=1: this machine has no GPU"),
        (["cluster.default.num_gpus=2"], "cluster.default.num_gpus=2: this machine has no GPU"),
        (["cluster.default.num_gpus=0.5", "cluster.executor=ray"], "cluster.default.num_gpus=0.5: this machine has no"),
        (["cluster.stages.fit.num_cpus=512", "cluster.executor=ray"], "cluster.stages.fit.num_cpus=512: this machine"),
        # Eight shards, and six trainings.
        (["cluster.stages.generate.workers=64", "cluster.executor=ray"], "cluster.stages.generate: the cluster has 3"),
        (["cluster.stages.fit.workers=64", "cluster.executor=ray"], "cluster.stages.fit: the cluster has 3"),
        (["cluster.stages.compare.workers=64", "cluster.executor=ray"], "cluster.stages.compare: the cluster has 3"),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_resources_that_this_machine_lacks_are_refused(
    configure: Configure,
    tmp_path: Path,
    command: str,
    overrides: list[str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(resource_checks, "gpus_here", lambda: 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    recipe = kept(configure(tmp_path / "new"), tmp_path / "recipe.yaml")
    assert expected in refusal(command, recipe, overrides, capsys)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("workers", "refused"), [("auto", True), (2, True), (1, False)])
def test_workers_that_train_together_do_not_share_a_gpu(
    configure: Configure, tmp_path: Path, workers: str | int, refused: bool
) -> None:
    overrides = ["cluster.executor=ray", "cluster.stages.adapt.num_gpus=0.5", f"cluster.stages.adapt.workers={workers}"]
    config = configure(tmp_path, "adapt.steps=2", "adapt.batch_size=4", *overrides)
    expected = r"^cluster\.stages\.adapt\.num_gpus=0\.5: workers of adapt train together and need a GPU each"
    with pytest.raises(UserError, match=expected) if refused else nullcontext():
        Job(config).step(AdaptStep).check_settings()


def test_gpu_cluster_settings_alone_on_a_machine_without_one(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource_checks, "gpus_here", lambda: 0)
    config = configure(tmp_path, "cluster=gpu", "cluster.executor=ray", "cluster.address=null")
    # This test is not about the CPUs that the recipe requests.
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    with pytest.raises(UserError, match=r"cluster\.stages\.extract\.num_gpus=1: this machine has no GPU"):
        require_resources(config, steps(config, shard=1, extract=1, report=1))
    require_resources(config, steps(config, shard=1, report=1))
    monkeypatch.setattr(resource_checks, "gpus_here", lambda: 1)
    require_resources(config, steps(config, extract=1))


def test_plan_refuses_a_cluster_that_does_not_answer(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import ray

    if ray.is_initialized():
        pytest.skip("a cluster of the test session is up, which is joined instead")
    recipe = kept(configure(tmp_path / "new"), tmp_path / "recipe.yaml")
    message = refusal("plan", recipe, ["cluster.executor=ray", "cluster.address=127.0.0.1:1"], capsys)
    assert "cluster.address: no Ray cluster answers at 127.0.0.1:1" in message


@pytest.mark.usefixtures("ray_cluster")
def test_stage_that_no_node_of_the_cluster_can_hold_is_refused_before_any_work(
    configure: Configure, tmp_path: Path
) -> None:
    config = configure(tmp_path, "cluster.executor=ray", "cluster.stages.generate.num_gpus=1")
    with pytest.raises(UserError, match=r"cluster\.stages\.generate: the cluster has 2 CPU and 0 GPU slots"):
        require_room(config, steps(config, shard=1, generate=1), print)
    require_room(config, steps(config, shard=1, fit=1, report=1), print)
    # A training needs no further slot for read tasks.
    both = configure(tmp_path, "cluster.executor=ray", "cluster.default.num_cpus=2")
    require_room(both, steps(both, adapt=1, judge=1), print)
    with pytest.raises(UserError, match=r"cluster\.default: the cluster has 2 CPU"):
        require_room(both, steps(both, extract=1), print)
    # More workers than pieces of work are not started.
    many = configure(tmp_path, "cluster.executor=ray", "cluster.default.workers=8")
    require_room(many, steps(many, generate=1, judge=1), print)
    with pytest.raises(UserError, match=r"cluster\.default: the cluster has 2 CPU.* asks for 8: lower its resources"):
        require_room(many, steps(many, generate=8), print)
