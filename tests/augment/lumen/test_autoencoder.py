"""The closed-form encoder computes exactly the principal components of each patch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny

from augment.lumen.grids import to_unit
from augment.lumen.pretrain import CaptionedImage, ImageSource
from augment.lumen.pretrain.autoencoder import new_autoencoder, patches
from pipeline.scenes import render_scene


@pytest.fixture(scope="module")
def source() -> ImageSource:
    return ImageSource([CaptionedImage(render_scene(seed, 64, 128).image, {}) for seed in range(8)], 48, 96)


@pytest.fixture(scope="module")
def model(source: ImageSource) -> AutoencoderTiny:
    return new_autoencoder([source], 6, seed=0).eval()


@torch.inference_mode()
def encoded(model: AutoencoderTiny, source: ImageSource) -> tuple[np.ndarray, np.ndarray]:
    """Latents, and the patches they are of: rows of `[N, 6]` and `[N, 192]`."""
    pixels = to_unit(np.stack(list(source.crops(seed=0))))
    latents = model.encode(pixels).latents.permute(0, 2, 3, 1)
    return latents.reshape(-1, 6).numpy(), patches(pixels).reshape(-1, 192).numpy()


def test_scaled_latents_do_not_correlate_and_have_unit_variance_in_the_mean(
    model: AutoencoderTiny, source: ImageSource
) -> None:
    latents, _ = encoded(model, source)
    covariance = np.cov(latents.T) * model.config.scaling_factor**2
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-2)
    assert np.diag(covariance).mean() == pytest.approx(1, abs=1e-2)
    assert (np.diff(np.diag(covariance)) < 0).all()


def test_latents_lose_no_more_than_the_best_linear_code_of_that_length(
    model: AutoencoderTiny, source: ImageSource
) -> None:
    """Restored by least squares, the error is the sum of the eigenvalues that were left out, and no more."""
    latents, pixels = encoded(model, source)
    design = np.concatenate([latents, np.ones((len(latents), 1))], axis=1).astype(np.float64)
    restored = design @ np.linalg.lstsq(design, pixels.astype(np.float64), rcond=None)[0]
    lost = ((pixels - restored) ** 2).sum() / len(pixels)
    eigenvalues = np.linalg.eigvalsh(np.cov(pixels.T, bias=True))
    assert lost == pytest.approx(eigenvalues[:-6].sum(), rel=1e-3)
