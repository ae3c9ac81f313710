"""A pretraining on views is that on their layouts, and every other random choice stays what it is without them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch

from augment.lumen.adapter import LayoutControlNet
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.options import DiffusionOptions
from augment.lumen.pretrain.diffusion import LatentSet, train_diffusion
from augment.progress import ignore_step
from tests.pipeline.small_models import CAPTIONS, save_small_base


def losses_of(folder: Path, part: LatentSet, **options: float) -> list[float]:
    """The losses of a short training on one set, from the same weights each time."""
    small = save_small_base(folder / "base")
    base, adapter = load_diffusion_model(str(small)), LayoutControlNet.from_pretrained(small / "adapter")
    settings = {"steps": 3, "batch_size": 4, "precision": "fp32", "sample_every": 4, "log_every": 1, **options}
    train_diffusion(base, adapter, [part], [], DiffusionOptions.model_validate(settings), 0, folder, ignore_step)
    return [json.loads(row)["denoising"] for row in (folder / "loss.jsonl").read_text().splitlines()]


def test_training_on_views_is_that_on_their_layouts(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        latents, layouts = torch.randn(6, 4, 4, 8).half(), 3 * torch.randn(6, 4, 4, 8).half()
        views = 3 * torch.randn(6, 1, 4, 4, 8).half()
    plain = LatentSet(latents, layouts, [*CAPTIONS] * 3, 1.0)
    viewed = replace(plain, views=views)
    own = losses_of(tmp_path / "own", plain)
    assert losses_of(tmp_path / "unused", viewed) == own
    of_views = losses_of(tmp_path / "views", viewed, views=1, view_share=1)
    assert of_views == losses_of(tmp_path / "swapped", replace(plain, layouts=views[:, 0]))
    assert of_views != own


def test_layouts_of_a_batch_are_copies() -> None:
    part = LatentSet(torch.zeros(2, 1, 1, 1), torch.zeros(2, 1, 1, 1), ["", ""], 1.0, torch.ones(2, 2, 1, 1, 1))
    found = part.layouts_of([1, 0, 1], [0, None, 1])
    assert found.flatten().tolist() == [1, 0, 1]
    assert part.layouts.flatten().tolist() == [0, 0]
