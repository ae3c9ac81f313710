"""Training images in memory, and random crops of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from augment.lumen.training.versions import cut_out, random_window

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
    window, mirrored = random_window((image.shape[0], image.shape[1]), (height, width), smallest, generator)
    return cut_out(image, window, (height, width), mirrored=mirrored)
