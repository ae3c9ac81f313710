"""Images of equal brightness, contrast and white balance, so that none of these reaches a layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

# ImageNet's channels, which most backbones expect.
MEAN, STD = np.array((123.675, 116.28, 103.53), np.float32), np.array((58.395, 57.12, 57.375), np.float32)
# A channel with a smaller deviation, in grey levels, holds only noise: it is stretched as if it had this one.
LEAST_STD = 4.0


def standardized(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give each channel of each image the mean and the standard deviation of ImageNet.

    It undoes a gain, an offset and a colour cast, but for levels that were clipped.

    Args:
        images: RGB, `uint8 [B, H, W, 3]`.

    Returns:
        `uint8 [B, H, W, 3]`.
    """
    return np.stack([_standardized(image) for image in images])


def _standardized(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # OpenCV sums exactly. A mean in float32 is off by more than a level at a megapixel.
    mean, std = (found.ravel() for found in cv2.meanStdDev(np.ascontiguousarray(image)))
    levels = np.arange(256)[:, None]
    table = ((levels - mean) * (STD / np.maximum(std, LEAST_STD)) + MEAN).round().clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[None]), np.uint8)


def standardized_pixels(pixels: torch.Tensor) -> torch.Tensor:
    """The same of pixels `float [B, 3, H, W]` in 0..1, without rounding; gradients flow."""
    mean, std = (torch.from_numpy(value / 255).to(pixels).view(1, 3, 1, 1) for value in (MEAN, STD))
    # The root of a variance of zero has no gradient.
    deviation = pixels.var((2, 3), correction=0, keepdim=True).clamp(min=(LEAST_STD / 255) ** 2).sqrt()
    return ((pixels - pixels.mean((2, 3), keepdim=True)) / deviation * std + mean).clamp(0, 1)
