"""What a plan expects of a stage is counted for what that stage will do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from augment.lumen.cost.devices import Device
from pipeline.config import Config
from pipeline.stages.adapt import AdaptStep
from pipeline.stages.generate import GenerateStep
from pipeline.stages.job import Job
from pipeline.stages.step import Size
from pipeline.workflow import expected
from pipeline.workflow.expected import expected_lines
from pipeline.workflow.survey import Standing

Configure = Callable[..., Config]


@pytest.mark.parametrize(("precision", "training"), [("fp16", "fp32"), ("bf16", "bf16"), ("fp32", "fp32")])
def test_hours_are_those_of_the_precision_that_a_stage_computes_in(
    tmp_path: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch, precision: str, training: str
) -> None:
    expected._device_of.cache_clear()
    monkeypatch.setattr(Device, "here", lambda _, precision: Device(f"a card in {precision}", True, None, 1e12))
    config = configure(tmp_path, "adapt.steps=2", "adapt.batch_size=2", f"generator.precision={precision}")
    adapt, generate = (Job(config).step(step) for step in (AdaptStep, GenerateStep))
    lines = expected_lines(config, [Standing(adapt, False, 0, None), Standing(generate, False, 0, Size(1, 2))])
    expected._device_of.cache_clear()
    assert f"a card in {training}" in lines[0] and lines[0].startswith("adapt: expects")
    assert f"a card in {precision}" in lines[1] and lines[1].startswith("generate: expects")
