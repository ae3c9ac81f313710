"""A backbone as a user would write one: the mean colour and its deviation in each cell."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray


class PooledColors:
    """Mean and standard deviation of each channel over a square of `stride` pixels."""

    channels = 6

    def __init__(self, name: str, device: str) -> None:
        self.name, self.device = name, device
        self.revision = hashlib.sha256(b"pooled colours 1").hexdigest()

    def features(self, images: NDArray[np.uint8], stride: int = 8) -> torch.Tensor:
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).to(self.device).float() / 255
        mean = F.avg_pool2d(pixels, stride)
        variance = F.avg_pool2d(pixels.square(), stride) - mean.square()
        return torch.cat([mean, variance.clamp(min=0).sqrt()], dim=1).cpu()


class Nameless:
    """It lacks most of what a backbone has."""

    def __init__(self, name: str, device: str) -> None: ...


NUMBER = 1
