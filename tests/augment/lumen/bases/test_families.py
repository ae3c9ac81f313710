"""Each family of base models paints what the pipeline of diffusers for it paints, and is trained on its own noise."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler

from augment.errors import UserError
from augment.lumen.adapter import Adapter, load_adapter
from augment.lumen.bases.base import DiffusionModel
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.bases.noise import noise_schedule
from augment.lumen.bases.text import Text
from augment.lumen.layout_encoder import layout_image, layout_planes
from augment.lumen.sampling.denoiser import scaled
from augment.lumen.sampling.layout_sampler import LayoutSampler
from augment.lumen.sampling.loading import compile_network, use_fast_kernels
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.sampling.request import Request
from pipeline.checks.models import require_base
from tests.augment.lumen.bases.small_families import FAMILIES, save_family

K, HEIGHT, WIDTH, SEEDS = 4, 64, 96, (0, 1)
PROMPTS = ["a photo of a street, day", "a rendered street"]


@pytest.fixture(scope="module", params=FAMILIES)
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[DiffusionModel, Adapter]:
    """A base of a family with an adapter that changes it, saved and loaded."""
    folder = save_family(request.param, tmp_path_factory.mktemp(request.param) / "base")
    base = load_diffusion_model(str(folder))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        adapter = base.new_adapter(K, 8)
        for parameter in adapter.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    adapter.save_pretrained(folder / "adapter")
    return base, load_adapter(folder / "adapter")


def requests() -> list[Request]:
    layout = np.random.default_rng(3).normal(size=(len(SEEDS), K, HEIGHT // 8, WIDTH // 8)).astype(np.float16)
    return [Request(layout[seed], K - seed, PROMPTS[seed], seed) for seed in SEEDS]


def test_fast_kernels_and_compiled_blocks_exist_for_every_family(
    models: tuple[DiffusionModel, Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, adapter = (deepcopy(model) for model in models)
    generator = torch.Generator().manual_seed(1)
    for network in (base.network, adapter.controlnet):
        for name, gains in network.named_parameters():
            if "norm" in name:
                gains.data += torch.rand(gains.shape, generator=generator)
    options = SamplerOptions(num_steps=2, precision="fp32")
    plain = LayoutSampler(base, adapter, options).generate(requests())
    compiled: list[str] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda block, **_: compiled.append(type(block).__name__))
    for network in (base.network, adapter.controlnet):
        use_fast_kernels(network)
        compiled.clear()
        compile_network(network, "default")
        assert compiled
    fast = LayoutSampler(base, adapter, options).generate(requests())
    assert np.abs(np.stack(fast).astype(int) - np.stack(plain)).max() <= 1


@torch.no_grad()
def test_parts_are_loaded_in_their_own_precision_and_without_a_network_that_nothing_uses(
    models: tuple[DiffusionModel, Adapter],
) -> None:
    base, _ = models
    shaped = load_diffusion_model(base.name, network="shapes")
    assert all(weight.is_meta for weight in shaped.network.parameters())
    assert (shaped.device, shaped.to("cpu").network.device.type) == (torch.device("cpu"), "meta")
    pixels = np.random.default_rng(0).integers(0, 256, (2, HEIGHT, WIDTH, 3), dtype=np.uint8)
    assert torch.equal(shaped.encode(pixels), base.encode(pixels))
    texts = [model.embed(PROMPTS, HEIGHT, WIDTH) for model in (base, shaped)]
    assert torch.equal(texts[0].embeddings, texts[1].embeddings)
    half = load_diffusion_model(base.name, network=torch.bfloat16)
    kinds = {name: {weight.dtype for weight in part.parameters()} for name, part in half.parts.items()}
    assert {name for name, found in kinds.items() if found != {torch.float32}} == {type_of(base)}
    whole = base.network.state_dict()
    assert all(torch.equal(value, whole[name].bfloat16()) for name, value in half.network.state_dict().items())


def type_of(base: DiffusionModel) -> str:
    """Name of the network among the parts."""
    return next(name for name, part in base.parts.items() if part is base.network)


def test_compiling_a_network_without_known_blocks_is_refused() -> None:
    with pytest.raises(UserError, match=r"generator\.compile=default: Linear has none of the blocks"):
        compile_network(torch.nn.Linear(1, 1), "default")


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_images_are_those_of_the_pipeline_of_diffusers(models: tuple[DiffusionModel, Adapter], guidance: float) -> None:
    base, adapter = models
    flow = base.prediction == "flow"
    wanted = requests()
    options = SamplerOptions(
        scheduler="euler" if flow else "ddim",
        timestep_spacing="base",
        num_steps=3,
        guidance_scale=guidance,
        guidance_interval=(0, 1),
        precision="fp32",
        control_free_branch=flow,
    )
    painted = LayoutSampler(base, adapter, options).generate(wanted)
    noise = [np.random.default_rng(seed).standard_normal((base.latent_channels, 8, 12), np.float32) for seed in SEEDS]
    layout = torch.from_numpy(np.stack([request.layout for request in wanted])).float()
    ks = torch.tensor([int(request.k) for request in wanted])
    planes = layout_planes(layout, ks)
    arguments: dict[str, Any] = {"guess_mode": True}
    arguments["image"] = torch.cat([layout_image(request.layout, int(request.k)) for request in wanted])
    if flow:
        without = layout_planes(layout, torch.zeros_like(ks))
        adapter.controlnet.planes = planes if guidance == 1 else torch.cat([without, planes])
        arguments = {"control_image": torch.zeros(len(wanted), 3, HEIGHT, WIDTH)}
    pipeline = base.pipeline(adapter.controlnet)
    assert type(pipeline).__name__ == base.pipeline_class
    pipeline.set_progress_bar_config(disable=True)
    with torch.inference_mode():
        expected = pipeline(
            PROMPTS,
            **arguments,
            height=HEIGHT,
            width=WIDTH,
            negative_prompt=[""] * len(wanted),
            latents=torch.from_numpy(np.stack(noise)),
            num_inference_steps=3,
            guidance_scale=guidance,
            output_type="np",
        ).images
    if flow:
        adapter.controlnet.planes = None
    for image, other in zip(painted, expected, strict=True):
        # Sums inside a batched product may be ordered differently: one level of 255 at most.
        assert np.abs(image.astype(int) - np.round(255 * other).astype(int)).max() <= 1
    assert np.std(painted[0]) > 1 and np.abs(painted[0].astype(int) - painted[1].astype(int)).max() > 1


def test_distilled_model_paints_in_one_step_as_in_diffusers(tmp_path: Path) -> None:
    """As SD-Turbo is configured: an Euler scheduler with trailing steps, and no guidance."""
    folder = save_family("stable-diffusion", tmp_path / "base")
    turbo = EulerDiscreteScheduler(1000, 0.00085, 0.012, beta_schedule="scaled_linear", timestep_spacing="trailing")
    turbo.save_pretrained(folder / "scheduler")
    require_base(str(folder))
    base, adapter = load_diffusion_model(str(folder)), load_adapter(folder / "adapter")
    options = SamplerOptions(
        scheduler="euler", timestep_spacing="base", num_steps=1, guidance_scale=1, precision="fp32"
    )
    [image] = LayoutSampler(base, adapter, options).generate(requests()[:1])
    pipeline = base.pipeline(adapter.controlnet)
    pipeline.scheduler = turbo
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 4, 8, 12), np.float32))
    arguments = {"image": layout_image(requests()[0].layout), "latents": noise, "guidance_scale": 0.0}
    with torch.inference_mode():
        [expected] = pipeline(PROMPTS[0], **arguments, num_inference_steps=1, output_type="np").images
    assert np.abs(image.astype(int) - np.round(255 * expected).astype(int)).max() <= 1


def test_adapter_changes_what_the_base_predicts_only_once_it_is_trained(models: tuple[DiffusionModel, Adapter]) -> None:
    base, adapter = models
    new = base.new_adapter(K, 8)
    torch.manual_seed(0)
    latents, steps, k = torch.randn(2, base.latent_channels, 8, 12), torch.tensor([500, 20]), torch.tensor([1, K])
    layout = torch.randn(2, K, 8, 12)
    with torch.no_grad():
        text = base.embed(PROMPTS, HEIGHT, WIDTH)
        free = base.denoise(latents, steps, text)
        assert torch.equal(base.denoise(latents, steps, text, new(latents, steps, text, layout, k)), free)
        residuals = adapter(latents, steps, text, layout, k)
        assert not torch.allclose(base.denoise(latents, steps, text, residuals), free)
    # Where control has no strength, nothing is added, in residuals of any resolution and in those of tokens.
    strength = torch.ones(2, 8, 12)
    strength[:, :4] = 0
    for part in residuals:
        weak = scaled(part, strength).movedim(-1, 1) if part.ndim == 3 else scaled(part, strength).flatten(2)
        half = weak.shape[2] // 2
        assert not weak[..., :half].any() and weak[..., half:].any()


def test_every_weight_that_is_trained_has_a_gradient(models: tuple[DiffusionModel, Adapter]) -> None:
    base, adapter = models
    latents, steps, k = torch.randn(2, base.latent_channels, 8, 12), torch.tensor([500, 20]), torch.tensor([1, K])
    with torch.no_grad():
        text = base.embed(PROMPTS, HEIGHT, WIDTH)
    adapter.requires_grad_(True)
    try:
        residuals = adapter(latents, steps, text, torch.randn(2, K, 8, 12), k)
        base.denoise(latents, steps, text, residuals).square().mean().backward()
        trained = {name: weight.grad for name, weight in adapter.named_parameters() if weight.requires_grad}
        assert trained and [name for name, gradient in trained.items() if gradient is None] == []
    finally:
        adapter.requires_grad_(False).zero_grad()


def test_prompts_can_be_taken_apart_and_put_together(models: tuple[DiffusionModel, Adapter]) -> None:
    base, _ = models
    with torch.no_grad():
        text = base.embed(PROMPTS, HEIGHT, WIDTH)
    again = Text.concatenate([text[[1]], text[:1]])[torch.tensor([1, 0])].to(torch.float64)
    assert len(again) == 2
    for name in ("embeddings", "pooled", "sizes"):
        one, other = getattr(text, name), getattr(again, name)
        assert (one is None) == (other is None)
        assert one is None or (other.dtype == torch.float64 and torch.equal(one.double(), other))
    with pytest.raises(UserError, match=r"has 13 tokens, and the text encoder of .* takes 12"):
        base.embed(["a photo of a street, day, night, rain"], HEIGHT, WIDTH)


def test_a_right_prediction_implies_the_clean_latents(models: tuple[DiffusionModel, Adapter]) -> None:
    noise_of = noise_schedule(models[0])
    torch.manual_seed(0)
    latents, noise = torch.randn(2, 5, 4, 6, 6)
    levels = torch.tensor([0, 1, 100, 500, noise_of.count - 2])
    noisy, target = noise_of.add_noise(latents, noise, levels), noise_of.target(latents, noise, levels)
    torch.testing.assert_close(noise_of.clean(noisy, target, levels), latents, rtol=1e-3, atol=1e-2)
    signal = noise_of.signal(levels)
    assert signal[0] > 0.99 and (signal.diff() < 0).all() and signal[-1] < 0.01


def test_tiles_and_reuse_of_the_adapter_are_for_every_family(models: tuple[DiffusionModel, Adapter]) -> None:
    options = {"scheduler": "euler", "num_steps": 2, "precision": "fp32"}
    whole = LayoutSampler(*models, SamplerOptions.model_validate(options)).generate(requests())
    others = {"tile": 64, "tile_overlap": 32, "reuse_adapter": 2}
    painted = LayoutSampler(*models, SamplerOptions.model_validate({**options, **others})).generate(requests())
    for one, other in zip(painted, whole, strict=True):
        assert one.shape == other.shape == (HEIGHT, WIDTH, 3)
        assert 0 < np.abs(one.astype(int) - other).mean() < 64
