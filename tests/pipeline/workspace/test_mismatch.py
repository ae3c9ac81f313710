"""Differences are named by the keys that a user sets, without pages of digests."""

from __future__ import annotations

import pytest

from pipeline.stages.adapt import AdaptStep
from pipeline.stages.generate import GenerateStep
from pipeline.stages.judge import JudgeStep
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Step
from pipeline.workspace.mismatch import describe_changes, name_of

THEN, NOW = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("step", "path", "name"),
    [
        (GenerateStep, "sampler.num_steps", "generator.num_steps"),
        (GenerateStep, "sampling.fraction", "generate.sampling.fraction"),
        (ShardStep, "sampling.fraction", "dataset.sampling.fraction"),
        (JudgeStep, "options.iterations", "judge.iterations"),
        (JudgeStep, "options.batch_size", "downstream.batch_size"),
        (AdaptStep, "base.name", "generator.base"),
        (ShardStep, "geometry.width", "geometry.width"),
    ],
)
def test_an_input_is_called_by_the_key_that_sets_it(step: type[Step], path: str, name: str) -> None:
    assert name_of(step.input_names, path) == name


def test_keys_come_before_contents_and_digests_are_short() -> None:
    stored = {"inputs": {"layouts": THEN, "real": THEN, "seed": 0}}
    asked = {"inputs": {"layouts": NOW, "real": NOW, "seed": 1}}
    assert describe_changes(GenerateStep.input_names, stored, asked) == (
        "seed: stored 0, requested 1; "
        'the content of the store of layouts: stored "aaaaaaaa", requested "bbbbbbbb"; '
        'the content of the real store: stored "aaaaaaaa", requested "bbbbbbbb"'
    )
