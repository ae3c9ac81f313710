"""In exact mode, the sampler paints what the pipeline of diffusers paints from the same noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionControlNetPipeline

from augment.lumen.adapter import layout_planes, load_adapter
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.sampling.layout_sampler import LayoutSampler
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.sampling.request import Request
from augment.lumen.sampling.schedule import new_scheduler
from tests.augment.lumen.sampling.conftest import K

PROMPTS = ["a photo of a street, day", "a rendered street, night, rain"]


class OnLayouts(StableDiffusionControlNetPipeline):
    """The pipeline with the planes of a layout as its condition, and those of k = 0 for the free branch."""

    def check_image(self, *_: Any) -> None:
        """Planes are no image."""

    def prepare_image(self, image: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        """Both branches."""
        ks = torch.full((len(image),), K)
        return torch.cat([layout_planes(image, torch.zeros_like(ks)), layout_planes(image, ks)])


@pytest.mark.parametrize("scheduler", ["ddim", "unipc", "dpmsolver++", "euler"])
def test_images_are_those_of_the_pipeline_of_diffusers(small_base: Path, scheduler: str) -> None:
    base, adapter = load_diffusion_model(str(small_base)), load_adapter(small_base / "adapter")
    exact = {"guidance_interval": (0, 1), "control_free_branch": True, "precision": "fp32"}
    options = SamplerOptions.model_validate({"scheduler": scheduler, "num_steps": 4, "guidance_scale": 3, **exact})
    sampler = LayoutSampler(base, adapter, options)
    layouts = np.random.default_rng(0).normal(size=(2, K, 8, 12)).astype(np.float16)
    requests = [Request(layout, K, PROMPTS[seed], seed) for seed, layout in enumerate(layouts)]
    pipeline = OnLayouts(**base.pipeline(adapter.controlnet).components, requires_safety_checker=False)
    pipeline.scheduler = new_scheduler(base.schedule, options)
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        PROMPTS,
        torch.from_numpy(layouts).float(),
        height=64,
        width=96,
        num_inference_steps=4,
        guidance_scale=3.0,
        latents=torch.stack([sampler.noise(request)[0] for request in requests]),
    ).images
    for found, image in zip(sampler.generate(requests), expected, strict=True):
        assert np.abs(found.astype(int) - np.asarray(image).astype(int)).max() <= 1
