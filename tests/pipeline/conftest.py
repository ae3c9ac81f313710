"""A small run from rendered scenes to synthetic images, shared by the tests that look at it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from augment.backbones import load_backbone
from pipeline.compose import load_config
from pipeline.config import Config
from pipeline.workflow import Selection, run
from tests.pipeline.small_models import save_small_base

Configure = Callable[..., Config]


@pytest.fixture(scope="session")
def small_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained base model with its adapter."""
    revision = load_backbone("dinov2-vits14").revision
    return save_small_base(tmp_path_factory.mktemp("models") / "small", revision=revision)


@pytest.fixture(scope="session")
def configure(small_base: Path) -> Configure:
    """The configuration of a small run in the workspace given, with further overrides."""

    def make(workspace: Path, *overrides: str) -> Config:
        settings = (
            "dataset.render.train=5",
            "dataset.render.val=2",
            "dataset.render.height=64",
            "dataset.render.width=128",
            "geometry.height=32",
            "geometry.width=64",
            "layout={k_max: 4, basis: adapter}",
            f"generator.base={small_base}",
            f"generator.adapter={small_base / 'adapter'}",
            "generator.num_steps=2",
            "generator.precision=fp32",
            "adapt.steps=0",
            "generate.ks=[0,4]",
            "shard.samples_per_shard=2",
            "cluster.executor=serial",
            f"workspace={workspace}",
        )
        return load_config("quickstart", [*settings, *overrides])

    return make


@pytest.fixture(scope="session")
def generated(configure: Configure, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the stages up to generate are done. Tests read it and write elsewhere."""
    workspace = tmp_path_factory.mktemp("run") / "space"
    run(configure(workspace), Selection(until="generate"), print)
    return workspace


@pytest.fixture
def copied(generated: Path, tmp_path: Path) -> Path:
    """A copy of that workspace to write to."""
    return Path(shutil.copytree(generated, tmp_path / "space"))
