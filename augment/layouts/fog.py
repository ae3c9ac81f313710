"""The fog of Albumentations at a cost that does not grow with the image times the particles."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from numpy.typing import NDArray


def albumentations() -> ModuleType:
    """The library, imported without its look on the network for a newer version."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    return albumentations


@cache
def _local_fog() -> type:
    class LocalFog(albumentations().RandomFog):  # type: ignore[misc]
        """`RandomFog` to the same bits; that blends the whole image for each particle, this one the particle alone."""

        def apply(
            self,
            img: NDArray[np.uint8],
            particle_positions: Sequence[tuple[int, int]],
            radiuses: Sequence[int],
            intensity: float,
            **params: Any,
        ) -> NDArray[np.uint8]:
            foggy = img.copy()
            for (x, y), radius in zip(particle_positions, radiuses, strict=True):
                left, top = max(x - radius, 0), max(y - radius, 0)
                part = foggy[top : y + radius + 1, left : x + radius + 1]
                if part.size:
                    disc = cv2.circle(part.copy(), (x - left, y - top), radius, (255, 255, 255), thickness=-1)
                    weight = self.alpha_coef * intensity
                    part[...] = cv2.addWeighted(disc, weight, part, 1 - weight, 0)
            # What is left is the blur.
            blurred: NDArray[np.uint8] = super().apply(foggy, [], [], intensity, **params)
            return blurred

    return LocalFog


def random_fog(strengths: tuple[float, float]) -> Any:
    """The transform `RandomFog` with a `fog_coef_range` of `strengths`, always applied."""
    return _local_fog()(fog_coef_range=strengths, p=1)
