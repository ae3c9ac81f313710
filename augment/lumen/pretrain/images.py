"""Training images in memory, and random crops of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from augment.lumen.options import CropOptions


@dataclass(frozen=True)
class CaptionedImage:
    """An image `uint8 [H, W, 3]` with the attributes that its captions are made from."""

    pixels: NDArray[np.uint8]
    attributes: dict[str, str]


@dataclass(frozen=True)
class ImageSource:
    """Training images and how crops are cut from them.

    Attributes:
        images: training images.
        height, width: size of a crop in pixels, multiples of 8.
        options: how to cut the crops, and how often a step uses them.
    """

    images: Sequence[CaptionedImage]
    height: int
    width: int
    options: CropOptions

    def crops(self, seed: int, turns: int | None = None) -> Iterator[NDArray[np.uint8]]:
        """Crops `uint8 [height, width, 3]`: one of every image per turn, in `turns` or `crops_per_image` turns."""
        for turn in range(turns or self.options.crops_per_image):
            for index, image in enumerate(self.images):
                yield self.random_crop(image, np.random.default_rng((seed, turn, index)))

    def random_crop(self, image: CaptionedImage, generator: np.random.Generator) -> NDArray[np.uint8]:
        """A random crop `uint8 [height, width, 3]` of one image."""
        return random_crop(image.pixels, self.height, self.width, self.options.smallest, generator)


def random_crop(
    image: NDArray[np.uint8], height: int, width: int, smallest: float, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Cut a random part with the target's aspect ratio, mirror it half of the time, and resize it.

    Args:
        image: `uint8 [H, W, 3]`.
        height, width: size of the result in pixels.
        smallest: smallest crop, as a share (0..1) of the largest window that fits.
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
