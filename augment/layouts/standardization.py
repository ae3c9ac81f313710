"""Images of equal brightness, contrast and white balance, so that none of these reaches a layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# ImageNet's channels, which most backbones expect.
MEAN, STD = np.array((123.675, 116.28, 103.53), np.float32), np.array((58.395, 57.12, 57.375), np.float32)
# A channel with less contrast than this, in grey levels, is all noise or empty: it is not stretched any further.
LEAST_STD = 4.0


def standardized(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give each channel of each image the mean and the standard deviation of ImageNet.

    It undoes a gain, an offset and a colour cast, but for levels that were clipped.

    Args:
        images: RGB, `uint8 [B, H, W, 3]`.

    Returns:
        `uint8 [B, H, W, 3]`.
    """
    levels = images.astype(np.float32)
    mean = levels.mean(axis=(1, 2), keepdims=True)
    std = levels.std(axis=(1, 2), keepdims=True)
    levels = (levels - mean) * (STD / np.maximum(std, LEAST_STD)) + MEAN
    return levels.round().clip(0, 255).astype(np.uint8)
