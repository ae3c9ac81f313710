"""Photometric changes of known kind and strength, to measure what a layout keeps of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from augment.layouts.fog import albumentations, random_fog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

# What `random_change` varies, in the order of its second result.
STRENGTHS = ("gain", "gamma", "cast", "blur")


def _night(image: Image, seed: int) -> Image:
    noise = np.random.default_rng(seed).normal(0, 0.02, image.shape)
    return _levels(image, lambda x: 0.3 * x**1.6 * np.array([0.85, 0.95, 1.15]) + noise)


def _fog(image: Image, seed: int) -> Image:
    return _applied(random_fog((0.5, 0.5)), image, seed)


def _rain(image: Image, seed: int) -> Image:
    return _applied(albumentations().RandomRain(p=1), image, seed)


def _noise(image: Image, seed: int) -> Image:
    return _levels(image, lambda x: x + np.random.default_rng(seed).normal(0, 0.08, image.shape))


# Each maps an image `uint8 [H, W, 3]` and a seed to the changed image.
KNOWN_CHANGES: Mapping[str, Callable[[Image, int], Image]] = {
    "night": _night,
    "fog": _fog,
    "rain": _rain,
    "gain 0.4": lambda image, _: _levels(image, lambda x: 0.4 * x),
    "gamma 2.5": lambda image, _: _levels(image, lambda x: x**2.5),
    "gamma 0.4": lambda image, _: _levels(image, lambda x: x**0.4),
    "blue cast": lambda image, _: _levels(image, lambda x: x * np.array([0.7, 0.85, 1.3])),
    "blur": lambda image, _: _blurred(image, 1.5),
    "noise": _noise,
}


def random_change(image: Image, seed: int) -> tuple[Image, NDArray[np.float64]]:
    """Change gain, gamma, colour cast and sharpness of an image by random, known strengths.

    Args:
        image: RGB, `uint8 [H, W, 3]`.
        seed: image and seed decide the result.

    Returns:
        The changed image, and the strengths in the order of `STRENGTHS`: logarithm of the gain (0.35..1.4), logarithm
        of the gamma (0.5..2.2), cast from red to blue (-0.3..0.3), standard deviation of the blur in pixels (0..1.5).
    """
    generator = np.random.default_rng(seed)
    log_gain, log_gamma = generator.uniform(np.log(0.35), np.log(1.4)), generator.uniform(np.log(0.5), np.log(2.2))
    cast, sigma = generator.uniform(-0.3, 0.3), generator.uniform(0, 1.5)
    tint = np.array([1 - cast, 1, 1 + cast])
    changed = _levels(image, lambda x: np.exp(log_gain) * x ** np.exp(log_gamma) * tint)
    return _blurred(changed, sigma), np.array([log_gain, log_gamma, cast, sigma])


def _levels(image: Image, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Image:
    """Change grey levels, which are 0..1 for `change`."""
    return (change(image / 255) * 255).round().clip(0, 255).astype(np.uint8)


def _blurred(image: Image, sigma: float) -> Image:
    # OpenCV takes a deviation of 0 for one that it is to choose itself.
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), dtype=np.uint8) if sigma >= 0.1 else image


def _applied(transform: object, image: Image, seed: int) -> Image:
    changed: Image = albumentations().Compose([transform], seed=seed)(image=image)["image"]
    return changed
