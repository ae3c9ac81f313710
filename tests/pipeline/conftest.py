"""A small run from rendered scenes to synthetic images, shared by the tests that look at it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from augment.backbones import load_backbone
from pipeline.config import Config
from pipeline.config.compose import load_config
from pipeline.store import backoff as retry
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection
from tests.pipeline.small_models import save_small_base
from tests.pipeline.store.object_store import Proxy, s3_server

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
            # Models this small gain nothing from more, and lose much where other processes are busy.
            "cluster.default.threads=1",
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


@pytest.fixture(scope="session")
def s3() -> Iterator[tuple[str, int]]:
    """Host and port of an S3 API."""
    with s3_server() as address:
        yield address


@pytest.fixture
def proxy(s3: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What all S3 URLs lead through; retries do not wait long."""
    proxy = Proxy(s3)
    with proxy.serving() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        # Every failure comes through to the retries under test.
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
        monkeypatch.setattr(retry, "LONGEST_WAIT", 0.1)
        S3FileSystem.clear_instance_cache()
        yield proxy
        S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(proxy: Proxy, request: pytest.FixtureRequest) -> str:  # noqa: ARG001 - requests pass through it
    """URL of an empty bucket of the test's own."""
    name = f"b{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]}"
    S3FileSystem().mkdir(name)
    return f"s3://{name}"
