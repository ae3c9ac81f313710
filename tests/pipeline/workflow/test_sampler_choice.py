"""A run with a bound on loss: it chooses how to sample once, and every later run goes by that."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from augment.errors import UserError
from augment.lumen.sampling import calibration
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.sampling.request import Request
from pipeline.config import Config
from pipeline.engine import FittingBatches, WorkUnit
from pipeline.stages import sampler_calibration, sampler_choice
from pipeline.stages.generate import GenerateStep
from pipeline.stages.generator import GeneratorOptions, sampler_inputs
from pipeline.stages.job import Job
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection

Configure = Callable[..., Config]
GENERATE = Selection(until="generate")


def test_the_choice_is_made_once_and_kept(
    copied: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sampler_calibration, "SECONDS", 5.0)
    config = configure(copied, "generate.ks=[2]", "generator.max_loss=100")
    with pytest.raises(UserError, match=r"max_loss=100: .*sampler is missing.*--redo generate"):
        run(config, GENERATE, print)
    run(config, Selection(until="generate", redo="generate"), print)
    step = Job(config).step(GenerateStep)
    assert "images at once" in capsys.readouterr().out
    assert step.choice.options != config.generator
    chosen = sampler_inputs(step.choice.options)
    assert step.store.manifest.inputs["sampler"] == chosen != sampler_inputs(config.generator)
    stage, _ = step.work()
    assert stage.batch_size == step.choice.batch_size <= step.resources.batch_size

    # More images are made in the same way, whatever the machine is.
    monkeypatch.setattr(sampler_choice, "ChooseSampling", None)
    run(configure(copied, "generate.ks=[2, 3]", "generator.max_loss=100"), GENERATE, print)
    with pytest.raises(UserError, match=r"generator\.max_loss.*--redo generate"):
        run(configure(copied, "generate.ks=[2]", "generator.max_loss=1"), GENERATE, print)
    with pytest.raises(UserError, match=r"generator.*--redo generate"):
        run(configure(copied, "generate.ks=[2]"), GENERATE, print)
    shutil.rmtree(copied / "sampler")
    with pytest.raises(UserError, match="sampler is missing"):
        run(config, GENERATE, print)


def test_smaller_batches_are_chosen_where_memory_runs_out(
    generated: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Job(configure(generated, "generate.ks=[2]")).step(GenerateStep)
    stage, source = step.painting(SamplerOptions(num_steps=1, precision="fp32"), 8)
    task = sampler_calibration.ChooseSampling(stage, source, (2,), 1.0, 100)
    task.setup()
    keys = [key for keys in step.sources.keys().values() for key in keys]
    requests = task._requests(WorkUnit("some", tuple(keys[:2]), {"variant": 0}))
    paint = stage.sampler.generate

    def limited(part: Sequence[Request]) -> list[np.ndarray]:
        if len(part) > 2:
            raise MemoryError("out of memory")
        return paint(part)

    monkeypatch.setattr(task, "_painting", lambda _: limited)
    assert task._batch_size(FittingBatches("generate", 8), stage.sampling, requests) <= 2

    # Smaller batches are faster here, but those of less than `fixed_batch` would be filled up.
    monkeypatch.setattr(calibration, "timed", lambda run: (None, len(run.args[0]) ** 2))
    fixed = SamplerOptions(fixed_batch=2)
    assert task._batch_size(FittingBatches("generate", 8), fixed, requests) == 2


def test_a_fixed_batch_must_divide_the_batches_of_the_stage(configure: Configure, tmp_path: Path) -> None:
    size = Job(configure(tmp_path, "generate.ks=[2]")).step(GenerateStep).resources.batch_size
    with pytest.raises(UserError, match=r"generator\.fixed_batch=\d+: cluster\.stages\.generate\.batch_size is"):
        Job(configure(tmp_path, "generate.ks=[2]", f"generator.fixed_batch={size + 1}")).step(
            GenerateStep
        ).check_settings()
    Job(configure(tmp_path, "generate.ks=[2]", f"generator.fixed_batch={size}")).step(GenerateStep).check_settings()


def test_a_calibration_chooses_compile_itself() -> None:
    with pytest.raises(ValueError, match="max_loss chooses compile by itself: set compile=null"):
        GeneratorOptions(base="lumen-tiny", max_loss=1, compile="default")
