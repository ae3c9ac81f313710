"""What a plan expects of a stage is counted for what that stage will do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from augment.lumen.cost.devices import Device
from augment.lumen.cost.shapes import Shapes
from augment.lumen.training.checkpoint import Checkpoint
from pipeline.config import Config
from pipeline.stages.adapt import AdaptStep
from pipeline.stages.adapt_progress import checkpoints_of, steps_taken, where_it_resumes
from pipeline.stages.generate import GenerateStep
from pipeline.stages.job import Job
from pipeline.stages.step import Size
from pipeline.store import Totals
from pipeline.store.location import Location
from pipeline.workflow import expected
from pipeline.workflow.expected import expected_lines
from pipeline.workflow.survey import Standing

Configure = Callable[..., Config]


@pytest.fixture(autouse=True)
def _own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LUMEN_CACHE", str(tmp_path / "cache"))
    expected._device_of.cache_clear()
    yield
    expected._device_of.cache_clear()


@pytest.mark.parametrize(("precision", "training"), [("fp16", "fp32"), ("bf16", "bf16"), ("fp32", "fp32")])
def test_hours_are_those_of_the_precision_that_a_stage_computes_in(
    tmp_path: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch, precision: str, training: str
) -> None:
    monkeypatch.setattr(Device, "here", lambda _, precision: Device(f"a card in {precision}", True, None, 1e12))
    config = configure(tmp_path, "adapt.steps=2", "adapt.batch_size=2", f"generator.precision={precision}")
    adapt, generate = (Job(config).step(step) for step in (AdaptStep, GenerateStep))
    left = [Standing(adapt, False, 0, None, "fit"), Standing(generate, False, 0, Size(1, 2), "fit")]
    lines = expected_lines(config, left)
    assert f"a card in {training}" in lines[0] and lines[0].startswith("adapt: expects")
    assert f"a card in {precision}" in lines[1] and lines[1].startswith("generate: expects")


@pytest.mark.parametrize("stores", ["disk", "bucket"])
def test_steps_before_the_checkpoint_are_not_expected_again(
    tmp_path: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, stores: str
) -> None:
    url = [f"stores={request.getfixturevalue('bucket')}/run"] if stores == "bucket" else []
    step = Job(configure(tmp_path, "adapt.steps=8", "adapt.batch_size=2", *url)).step(AdaptStep)
    monkeypatch.setattr(AdaptStep, "inputs", lambda _: {"of": "a test"})
    assert steps_taken(step.config, step.artifact().scratch) == 0
    assert where_it_resumes(step.config, step.artifact().scratch) == ""
    [fresh] = expected_lines(step.config, [Standing(step, False, 0, None)])
    folder = step.artifact().scratch / "training"
    folder.mkdir(parents=True)
    checkpoint = Checkpoint(Location(checkpoints_of(step.config, step.artifact().scratch)))
    checkpoint.save({"weight/a": torch.zeros(3)}, {"step": 6, "recent": []})
    checkpoint.wait()
    assert steps_taken(step.config, step.artifact().scratch) == 6
    assert where_it_resumes(step.config, step.artifact().scratch) == "adapt: resumes at step 6 of 8"
    [resumed] = expected_lines(step.config, [Standing(step, False, 0, None)])
    assert resumed.endswith(", for the 2 steps after the checkpoint at 6") and "checkpoint" not in fresh
    assert flops(resumed) == pytest.approx(flops(fresh) / 4, rel=0.05)
    # Before the stages that it reads are done, it is not known whose checkpoint that is.
    [blocked] = expected_lines(step.config, [Standing(step, False, 0, None, "fit")])
    assert flops(blocked) == flops(fresh)


def test_images_that_are_there_are_not_expected_again(tmp_path: Path, configure: Configure) -> None:
    step = Job(configure(tmp_path)).step(GenerateStep)
    [whole], [rest] = (
        expected_lines(step.config, [Standing(step, False, made, Size(10, 100))])
        for made in (Totals(), Totals(samples=70, failures=4, dropped=1))
    )
    assert flops(rest) == pytest.approx(flops(whole) / 4, rel=0.05)


def test_a_plan_is_the_same_the_second_time_without_counting(
    tmp_path: Path, configure: Configure, small_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Path(shutil.copytree(small_base, tmp_path / "base"))
    monkeypatch.setattr(Device, "here", lambda _, precision: Device(f"a card in {precision}", True, None, 1e12))

    def plan(*overrides: str) -> list[str]:
        config = configure(tmp_path, "adapt.steps=2", "adapt.batch_size=2", f"generator.base={base}", *overrides)
        adapt, generate = (Job(config).step(step) for step in (AdaptStep, GenerateStep))
        return expected_lines(
            config, [Standing(adapt, False, 0, None, "fit"), Standing(generate, False, 0, Size(1, 2), "fit")]
        )

    first = plan()
    monkeypatch.setattr(Shapes, "training", lambda *_, **__: pytest.fail("counts a step"))
    monkeypatch.setattr(Shapes, "painting", lambda *_, **__: pytest.fail("counts an image"))
    assert plan() == first and plan("adapt.steps=4")[1] == first[1]
    for other in ("adapt.batch_size=4", "generator.precision=bf16", "geometry.width=128"):
        with pytest.raises(pytest.fail.Exception, match="counts"):
            plan(other)
    config = base / "unet" / "config.json"
    config.write_text(config.read_text().replace("{", '{"other": 1,', 1))
    with pytest.raises(pytest.fail.Exception, match="counts"):
        plan()


def flops(line: str) -> float:
    return float(line.split(" FLOP ")[0].rpartition("(")[2])
