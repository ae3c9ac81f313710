"""A run whose stages only note what they would do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pipeline.config.compose import load_config
from pipeline.stages.artifact_step import ArtifactStep
from pipeline.stages.store_step import StoreStep
from pipeline.stages.tools import Tools
from pipeline.workflow import run as workflow
from tests.pipeline.datasets.trees import random_image, save
from tests.pipeline.workflow.faked import Work


@pytest.fixture(scope="module")
def work() -> Iterator[Work]:
    """The work of all runs of this module, in which nothing is trained and nothing from outside is looked at."""
    done = Work()
    with pytest.MonkeyPatch.context() as patch:

        def store(step: StoreStep, tools: Tools) -> str:
            return done.store(step, tools)

        def artifact(step: ArtifactStep, tools: Tools) -> str:
            return done.artifact(step, tools)

        patch.setattr(StoreStep, "run", store)
        patch.setattr(ArtifactStep, "run", artifact)
        patch.setattr(workflow, "check", lambda *_: [])
        yield done


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A configuration as plain values, of a folder of five and three images and of models that are never loaded."""
    root, models = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 3)):
        for number in range(count):
            save(root / "images" / split / f"{number}.png", random_image(rng, 32, 64))
            save(root / "masks" / split / f"{number}.png", rng.integers(0, 2, (32, 64), np.uint8))
    (root / "classes.txt").write_text("even\nodd\n")
    shape = {"in_channels": 4, "block_out_channels": [32], "cross_attention_dim": 8}
    (models / "unet").mkdir()
    (models / "unet" / "config.json").write_text(json.dumps(shape))
    (models / "adapter" / "basis").mkdir(parents=True)
    adapter = {"_class_name": "LayoutControlNet", "num_components": 4, "controlnet_config": shape}
    (models / "adapter" / "config.json").write_text(json.dumps(adapter))
    (models / "adapter" / "basis" / "basis.json").write_text('{"digest": "0"}')
    config = load_config(
        "own",
        [
            "downstream.seeds=[0,1]",
            f"dataset.root={root}",
            f"generator.base={models}",
            f"generator.adapter={models / 'adapter'}",
            "adapt.steps=0",
            "geometry={height: 32, width: 64}",
            "layout={k_max: 4, basis: adapter}",
            "generate={ks: [4], variants: 1, splits: [train, val]}",
            "shard.samples_per_shard=2",
            "cluster.executor=serial",
            "workspace=/nowhere",
        ],
    )
    return config.model_dump(mode="json")
