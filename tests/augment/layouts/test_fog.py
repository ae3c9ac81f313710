"""Fog is that of the library, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from augment.layouts.fog import albumentations, random_fog


@pytest.mark.parametrize("size", [(8, 8), (96, 192), (192, 96), (101, 333), (256, 512)])
@pytest.mark.parametrize("strength", [0.2, 0.6, 1.0])
def test_fog_has_the_bits_of_the_library(size: tuple[int, int], strength: float) -> None:
    library = albumentations()
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    for seed in range(3):
        found, expected = (
            library.Compose([transform], seed=seed)(image=image)["image"]
            for transform in (random_fog((strength, strength)), library.RandomFog(fog_coef_range=(strength,) * 2, p=1))
        )
        np.testing.assert_array_equal(found, expected)
        assert (found != image).any()
