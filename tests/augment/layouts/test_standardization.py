"""Brightness, contrast and a colour cast leave no trace in a standardised image."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.layouts.standardization import MEAN, STD, standardized, standardized_pixels

GAINS = st.tuples(*[st.floats(0.7, 1.4)] * 3)


@given(st.integers(0, 2**32 - 1), GAINS, st.floats(-20, 20))
@settings(deadline=None, max_examples=30)
def test_gain_cast_and_offset_are_undone(seed: int, gains: tuple[float, float, float], offset: float) -> None:
    image = np.random.default_rng(seed).integers(40, 160, (1, 16, 24, 3)).astype(np.uint8)
    changed = (image * np.array(gains) + offset).round()
    assert changed.min() >= 0 and changed.max() <= 255
    one, other = standardized(image), standardized(changed.astype(np.uint8))
    # A level that was rounded on the way is off by the stretch and a half.
    assert np.abs(one.astype(int) - other.astype(int)).max() <= 3


def test_channels_get_the_mean_and_deviation_that_backbones_expect() -> None:
    image = np.random.default_rng(0).integers(40, 90, (2, 64, 64, 3), dtype=np.uint8)
    image[1] //= 2
    for result in standardized(image).astype(float):
        np.testing.assert_allclose(result.mean((0, 1)), MEAN, atol=1)
        np.testing.assert_allclose(result.std((0, 1)), STD, rtol=0.03)


def test_an_even_image_stays_even_and_its_noise_is_not_stretched_to_fill_the_range() -> None:
    even = np.full((1, 8, 8, 3), 7, np.uint8)
    assert len(np.unique(standardized(even)[..., 0])) == 1
    noisy = even + np.random.default_rng(0).integers(0, 2, even.shape, dtype=np.uint8)
    assert standardized(noisy).std((0, 1, 2)).max() < 10


def test_a_large_image_is_standardised_as_a_part_of_it() -> None:
    """A sum of a million levels in float32 loses so much that an even image would change its colour."""
    large = np.full((1, 1024, 2048, 3), 101, np.uint8)
    np.testing.assert_array_equal(standardized(large)[:, :8, :8], standardized(large[:, :8, :8]))


def test_an_image_is_standardised_without_the_rest_of_its_batch() -> None:
    images = (
        np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), dtype=np.uint8)
        // np.array([1, 2, 4])[:, None, None, None]
    )
    images = images.astype(np.uint8)
    alone = np.concatenate([standardized(image[None]) for image in images])
    np.testing.assert_array_equal(standardized(images), alone)


@given(st.integers(0, 2**32 - 1), st.integers(1, 255))
@settings(deadline=None, max_examples=30)
def test_pixels_become_what_images_become_but_for_rounding(seed: int, levels: int) -> None:
    images = np.random.default_rng(seed).integers(0, levels, (2, 16, 24, 3)).astype(np.uint8)
    pixels = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255).requires_grad_(True)
    found = standardized_pixels(pixels)
    expected = torch.from_numpy(standardized(images)).permute(0, 3, 1, 2)
    assert float((found * 255 - expected).abs().max()) <= 0.51
    found.sum().backward()
    assert pixels.grad is not None and bool(torch.isfinite(pixels.grad).all())
