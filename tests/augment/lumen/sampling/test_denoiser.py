"""Guidance acts on its interval, and control where, and as strongly as, it is asked to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from augment.errors import UserError
from augment.lumen.adapter import LayoutControlNet, load_adapter
from augment.lumen.bases.base import DiffusionModel
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.sampling.denoiser import Denoiser
from augment.lumen.sampling.layout_sampler import LayoutSampler
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.sampling.request import Request, stacked_strengths
from augment.lumen.sampling.tiling import of_tiles
from tests.augment.lumen.sampling.conftest import K

Models = tuple[DiffusionModel, LayoutControlNet]


@pytest.fixture(scope="module")
def models(small_base: Path) -> Models:
    return load_diffusion_model(str(small_base)), load_adapter(small_base / "adapter")


def denoiser(models: Models, strength: torch.Tensor | None = None, k: int = K, **options: object) -> Denoiser:
    base, adapter = models
    layout = torch.randn(2, K, 8, 12, generator=torch.Generator().manual_seed(0))
    texts = [base.embed([text, text], 64, 96) for text in ("a photo of a street, day", "")]
    chosen = SamplerOptions.model_validate(options)
    return Denoiser(base, adapter, chosen, layout, torch.full((2,), k), *texts, strength)


@torch.inference_mode()
def predicted(denoise: Denoiser, timestep: int = 500) -> torch.Tensor:
    latents = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(1))
    return denoise(latents, torch.tensor(timestep))


def test_guidance_acts_on_its_interval_alone(models: Models) -> None:
    guided, unguided = denoiser(models, guidance_interval=(0, 1)), denoiser(models, guidance_scale=1)
    late = denoiser(models, guidance_interval=(0.5, 1))
    for timestep, expected in ((999, unguided), (501, unguided), (499, guided), (0, guided)):
        torch.testing.assert_close(predicted(late, timestep), predicted(expected, timestep))
    assert not torch.allclose(predicted(guided, 999), predicted(unguided, 999))


@pytest.mark.parametrize("with_adapter", [True, False])
def test_the_free_branch_runs_the_adapter_with_k_0_or_not_at_all(models: Models, with_adapter: bool) -> None:
    base, adapter = models
    one = denoiser(models, control_free_branch=with_adapter, guidance_scale=3, guidance_interval=(0, 1))
    latents = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(1))
    steps = torch.full((2,), 500)
    with torch.inference_mode():
        assert one.negative is not None
        nothing = adapter(latents, steps, one.negative, one.layout, torch.zeros(2, dtype=torch.int64))
        free = base.denoise(latents, steps, one.negative, nothing if with_adapter else None)
        bound = base.denoise(latents, steps, one.text, adapter(latents, steps, one.text, one.layout, one.k))
        torch.testing.assert_close(predicted(one), free + 3 * (bound - free), rtol=1e-4, atol=1e-4)


def test_the_text_may_have_a_scale_of_its_own(models: Models) -> None:
    base, adapter = models
    options = {"guidance_scale": 3, "guidance_interval": (0, 1)}
    one = denoiser(models, text_guidance_scale=5, **options)
    latents = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(1))
    steps = torch.full((2,), 500)
    with torch.inference_mode():
        assert one.negative is not None
        free = base.denoise(latents, steps, one.negative)
        layout = base.denoise(latents, steps, one.negative, adapter(latents, steps, one.negative, one.layout, one.k))
        both = base.denoise(latents, steps, one.text, adapter(latents, steps, one.text, one.layout, one.k))
    expected = free + 3 * (layout - free) + 5 * (both - layout)
    torch.testing.assert_close(predicted(one), expected, rtol=1e-4, atol=1e-4)
    same = predicted(denoiser(models, text_guidance_scale=3, **options))
    torch.testing.assert_close(same, predicted(denoiser(models, **options)), rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="text_guidance_scale needs a guidance_scale above 1"):
        SamplerOptions(guidance_scale=1, text_guidance_scale=2)


def test_no_strength_is_the_base_alone_and_a_region_is_controlled_by_itself(models: Models) -> None:
    base, _ = models
    latents = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        text = base.embed(["a photo of a street, day"] * 2, 64, 96)
        alone = base.denoise(latents, torch.full((2,), 500), text)
    full = predicted(denoiser(models, guidance_scale=1))
    cells = torch.zeros(2, 8, 12)
    cells[1] = 1
    torch.testing.assert_close(predicted(denoiser(models, torch.zeros(2), guidance_scale=1)), alone)
    by_cell = predicted(denoiser(models, cells, guidance_scale=1))
    torch.testing.assert_close(by_cell, torch.cat([alone[:1], full[1:]]), rtol=1e-4, atol=1e-4)
    cells[1, :, :6] = 0
    half = predicted(denoiser(models, cells, guidance_scale=1))[1]
    # Far from the border, the side without control is nearer to the base alone, and the other to full control.
    assert (half - alone[1])[:, :, 0].abs().mean() < (half - full[1])[:, :, 0].abs().mean()
    assert (half - full[1])[:, :, -1].abs().mean() < (half - alone[1])[:, :, -1].abs().mean()


def test_a_tile_has_the_strengths_of_its_cells(models: Models) -> None:
    cells = torch.ones(2, 8, 12)
    cells[:, :, :8] = 0
    controlled, free, mixed = (denoiser(models, values, guidance_scale=1) for values in (None, torch.zeros(2), cells))
    left, right = (1, (slice(0, 8), slice(0, 8))), (1, (slice(0, 8), slice(8, 12)))
    latents = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(1))
    for tile, same in ((left, free), (right, controlled)):
        part = latents[(..., *tile[1])]
        found, expected = (of_tiles(one, [tile]) for one in (mixed, same))
        with torch.inference_mode():
            torch.testing.assert_close(found(part, torch.tensor(500)), expected(part, torch.tensor(500)))


def test_strengths_of_requests_are_multiplied_and_checked() -> None:
    layout = np.zeros((K, 8, 12), np.float16)
    plain, strong = Request(layout, K, "", 0), Request(layout, K, "", 0, strength=2.0)
    cells = Request(layout, K, "", 0, strength=np.full((8, 12), 0.5))
    assert stacked_strengths([plain, plain], 1) is None
    assert stacked_strengths([plain, strong], 0.5).tolist() == [0.5, 1]  # type: ignore[union-attr]
    assert stacked_strengths([strong, cells], 1)[:, 3, 4].tolist() == [2, 0.5]  # type: ignore[index]
    for wrong, message in (
        (np.ones((8, 11)), r"strength has \(8, 11\) cells and the layout \(8, 12\)"),
        (-0.5, "strength = -0.5: give 0 or more"),
        (float("nan"), "strength = nan: give 0 or more"),
    ):
        with pytest.raises(UserError, match=message):
            stacked_strengths([Request(layout, K, "", 0, strength=wrong)], 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "times"),
    [
        ({}, 1),
        ({"control_free_branch": True}, 2),
        ({"text_guidance_scale": 2}, 1),
        ({"tile": 64, "tile_overlap": 32}, 2),
    ],
)
def test_a_layout_is_embedded_once_for_all_steps(
    models: Models, options: dict[str, object], times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, adapter = models
    calls = []
    convolution = adapter.controlnet.controlnet_cond_embedding.conv_mid
    forward = convolution.forward
    monkeypatch.setattr(convolution, "forward", lambda hidden: calls.append(len(hidden)) or forward(hidden))
    chosen = SamplerOptions.model_validate({"num_steps": 4, "precision": "fp32", **options})
    layout = np.zeros((K, 8, 12), np.float16)
    LayoutSampler(base, adapter, chosen).generate([Request(layout, K, "a photo", 0), Request(layout, 1, "a photo", 1)])
    assert calls == [2] * times
