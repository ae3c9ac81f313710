"""Training images in memory, and random crops of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class CaptionedImage:
    """An image `uint8 [H, W, 3]` with the attributes that its captions are made from."""

    pixels: NDArray[np.uint8]
    attributes: dict[str, str]


@dataclass(frozen=True)
class ImageSource:
    """Training images and how crops are cut from them.

    Attributes:
        images: what to learn from.
        height, width: size of a crop in pixels, multiples of 8.
        crops_per_image: crops of each image that the diffusion model learns from.
        smallest: smallest part of an image to cut, as a share (0..1) of the largest window.
        weight: how often a training step draws from this source, against the others.
    """

    images: Sequence[CaptionedImage]
    height: int
    width: int
    crops_per_image: int = 1
    smallest: float = 0.6
    weight: float = 1.0

    def crops(self, seed: int, turns: int | None = None) -> Iterator[NDArray[np.uint8]]:
        """Crops `uint8 [height, width, 3]`: one of every image a turn, for `turns` or else `crops_per_image` turns."""
        for turn in range(turns or self.crops_per_image):
            for index, image in enumerate(self.images):
                generator = np.random.default_rng((seed, turn, index))
                yield random_crop(image.pixels, self.height, self.width, self.smallest, generator)


def random_crop(
    image: NDArray[np.uint8], height: int, width: int, smallest: float, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Cut a random part of the target's aspect ratio, mirror it half of the time, and resize it.

    Args:
        image: `uint8 [H, W, 3]`.
        height, width: size of the result in pixels.
        smallest: smallest part to cut, as a share (0..1) of the largest window that fits.
        generator: source of randomness.

    Returns:
        `uint8 [height, width, 3]`.
    """
    full = min(image.shape[0] / height, image.shape[1] / width)
    scale = full * generator.uniform(smallest, 1.0)
    rows, columns = round(height * scale), round(width * scale)
    top = int(generator.integers(image.shape[0] - rows + 1))
    left = int(generator.integers(image.shape[1] - columns + 1))
    window = image[top : top + rows, left : left + columns]
    if generator.random() < 0.5:
        window = window[:, ::-1]
    method = cv2.INTER_AREA if scale >= 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(window), (width, height), interpolation=method), dtype=np.uint8)
