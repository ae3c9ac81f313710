"""docs/diffusers.md: its snippets run as they are, in their order; the last one on a small model of its family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augment.lumen.bases.loading import load_diffusion_model
from tests.augment.lumen.bases.small_families import save_family
from tests.docs.pages import DOCS, python_blocks, run_code

BASE = '"stabilityai/stable-diffusion-3.5-medium"'


def test_an_adapter_paints_inside_the_pipelines_of_diffusers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "diffusers_page"}
    first, second = python_blocks(DOCS / "diffusers.md")
    run_code(first[1], "docs/diffusers.md", namespace, first[0])
    image = np.asarray(namespace["painted"])
    assert image.shape == (96, 192, 3) and image.std() > 10
    base = save_family("sd3", tmp_path / "sd3")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        load_diffusion_model(str(base)).new_adapter(20, 8).save_pretrained(tmp_path / "adapter")
    assert BASE in second[1]
    run_code(second[1].replace(BASE, repr(str(base))), "docs/diffusers.md", namespace, second[0])
    assert np.asarray(namespace["painted"]).shape == (96, 192, 3)
