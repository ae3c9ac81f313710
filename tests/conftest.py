"""Fixtures for all tests: one Ray cluster a session, and the CamVid folder where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from pipeline.cli.entry import QUIET

if TYPE_CHECKING:
    from pipeline.engine import Executor

# How long an example takes is the machine's business.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

REPOSITORY = Path(__file__).resolve().parent.parent
# What would change results, messages or where they go: a test that needs one of these sets it itself.
SETTINGS = (
    *("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT", "HF_TOKEN"),
    *("RAY_ADDRESS", "HYDRA_FULL_ERROR", "LUMEN_TRACEBACK", "PYTHONWARNINGS"),
    *("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"),
    *("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL_S3", "AWS_CONFIG_FILE"),
)
for name in SETTINGS:
    os.environ.pop(name, None)
# The servers of the tests are on this machine, and no proxy leads there.
for name in ("NO_PROXY", "no_proxy"):
    os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1,localhost")))
# Read when torch is loaded: more threads gain models this small nothing, and the tests may run two at a time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Read by Ray's daemons: a worker that is idle for a second would end, and the next test start it again.
os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "600000")
# Read when Ray is imported, which test modules do.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", QUIET["RAY_DEDUP_LOGS_SKIP_REGEX"])


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local Ray cluster with two CPU slots."""
    import ray

    from pipeline.engine.ray_cluster import start_local

    start_local(num_cpus=2)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def ray_executor(ray_cluster: None) -> Executor:  # noqa: ARG001 - it runs there
    """An executor on that cluster, for all tests that need no other; each has a process that counts attempts."""
    from pipeline.engine import make_executor

    return make_executor("ray")


@pytest.fixture(scope="session")
def camvid_root() -> Path:
    """The CamVid folder: LUMEN_CAMVID, or ../shared/data/camvid beside the repository."""
    root = Path(os.environ.get("LUMEN_CAMVID") or REPOSITORY.parent / "shared" / "data" / "camvid")
    if not (root / "train").is_dir():
        pytest.skip(f"no CamVid at {root}; set LUMEN_CAMVID to the folder that holds train/ and trainannot/")
    return root
