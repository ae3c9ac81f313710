"""The closed-form encoder computes exactly the principal components of each patch; the decoder's loss sees blur."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny

from augment.backbones import load_backbone
from augment.errors import UserError
from augment.lumen.bases.autoencoder import Autoencoder
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.grids import to_unit
from augment.lumen.options import CropOptions
from augment.lumen.pretrain import CaptionedImage, ImageSource
from augment.lumen.pretrain.autoencoder import feature_loss, new_autoencoder, patches
from pipeline.scenes import render_scene


@pytest.fixture(scope="module")
def source() -> ImageSource:
    return ImageSource(
        [CaptionedImage(render_scene(seed, 64, 128).image, {}) for seed in range(8)], 48, 96, CropOptions()
    )


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


def test_feature_loss_sees_blur_where_the_pixels_say_little(source: ImageSource) -> None:
    """Of two changes with the same mean absolute error, blur costs more than a shift of brightness."""
    backbone = load_backbone("dinov2-vits14")
    target = to_unit(np.stack(list(source.crops(seed=0)))[:4]) * 0.8
    low = torch.nn.functional.avg_pool2d(target, 4)
    blurred = torch.nn.functional.interpolate(low, scale_factor=4.0, mode="bilinear")
    shifted = target + (blurred - target).abs().mean()

    def loss(output: torch.Tensor) -> float:
        return float(feature_loss(backbone, output, target, np.random.default_rng(0)))

    assert loss(target) == pytest.approx(0, abs=1e-5)
    assert loss(blurred) > 1.5 * loss(shifted)


def test_feature_loss_teaches_the_decoder(source: ImageSource) -> None:
    backbone = load_backbone("dinov2-vits14")
    target = to_unit(np.stack(list(source.crops(seed=0)))[:2])
    output = torch.zeros_like(target, requires_grad=True)
    feature_loss(backbone, output, target, np.random.default_rng(0)).backward()
    assert output.grad is not None
    # All but the margin of less than one latent cell that the random offset leaves out.
    assert (output.grad[:, :, 8:-8, 8:-8].abs().sum(dim=1) > 0).float().mean() > 0.99


def test_the_autoencoder_of_a_base_alone_restores_as_the_base_does() -> None:
    images = np.stack([render_scene(seed, 32, 64).image for seed in range(2)])
    base = load_diffusion_model("lumen-tiny", network="shapes")
    with torch.inference_mode():
        expected = base.decode(base.encode(images))
    for tile in (None, 32):
        # In tiles the order of sums is another one.
        np.testing.assert_allclose(Autoencoder("lumen-tiny", tile=tile).restored(list(images)), expected, atol=1)
    with pytest.raises(UserError, match="base model 'models/none' cannot be loaded"):
        Autoencoder("models/none")
