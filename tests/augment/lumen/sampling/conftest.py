"""A small base model with its adapter, for all tests of the sampler."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.small_models import save_small_base

K = 4


@pytest.fixture(scope="session")
def small_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder, the adapter in `adapter/`."""
    return save_small_base(tmp_path_factory.mktemp("base"), K)
