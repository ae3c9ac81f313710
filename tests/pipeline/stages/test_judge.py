"""The judge and the fit of curation share no image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from downstream.checkpoint import STATE, TrainingState
from pipeline.config.compose import load_config
from pipeline.engine import Resources, WorkUnit
from pipeline.stages.job import Job
from pipeline.stages.judge import JudgeStep
from pipeline.stages.reading import keys_by_shard
from pipeline.stages.shard import ShardStep
from pipeline.stages.tools import Tools
from pipeline.stages.trainings import Train, train_all, trainings_of
from pipeline.store import Manifest, Sample, Store
from tests.pipeline.checks.test_labels import folder


def test_a_training_that_was_begun_is_said_to_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(load_config("own", [f"dataset.root={tmp_path}", f"workspace={tmp_path / 'space'}"]))
    Store.create(job.step(ShardStep).url, Manifest("real", None, {}, {}))
    trainings = trainings_of(job, ["real"], [0, 1], 10)
    trainings[1].folder.mkdir(parents=True)
    TrainingState(4, {}, {"model.weight": torch.zeros(2)}, []).save(trainings[1].folder / STATE)
    monkeypatch.setattr(Tools, "train", lambda *_: [])
    lines: list[str] = []
    train_all(job.step(JudgeStep), trainings, Tools(job.config, lines.append))
    assert lines == ["judge: real, seed 1: resumes at step 4 of 10"]


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_scale_is_fitted_on_the_images_that_the_judge_has_not_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    root = folder(tmp_path / "data", "sky\nroad\n", {"train": [[0, 1]], "val": [[0, 1]]})
    settings = [f"dataset.root={root}", f"workspace={tmp_path / 'space'}", f"judge.held_back={share}"]
    job = Job(load_config("own", settings))
    real = Store.create(job.step(ShardStep).url, Manifest("real", None, {}, {}))
    image, label = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8)
    for shard in range(4):
        pairs = [Sample(f"train-{shard}{number}", image, label, metadata={"split": "train"}) for number in range(5)]
        real.write_shard(f"train-00000{shard}", pairs)
    unlabelled = Sample("train-x", image, metadata={"split": "train"})
    real.write_shard("val-000000", [Sample("val-0", image, label, metadata={"split": "val"}), unlabelled])
    given: dict[str, Any] = {}
    monkeypatch.setattr("downstream.training.train", lambda *_, **options: given.update(options))
    trainings = trainings_of(job, ["real"], [0], 10, held_back=share)
    Train(trainings, real.url, None, None, "val", Resources(), "judge").train(
        WorkUnit("run", (), {"index": 0}), lambda _: None
    )
    shards = {shard: keys for shard, keys in keys_by_shard(real).items() if shard.startswith("train")}
    unseen = [key for keys in job.step(JudgeStep).unseen(shards).values() for key in keys]
    if share:
        assert len(unseen) == 4
        assert set(given["held_back"]) == set(unseen)
    else:
        assert len(unseen) == 20
        assert not given["held_back"]
