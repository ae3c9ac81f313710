"""Images resized so that one patch of a vision transformer covers one cell of a layout."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from augment.errors import UserError


def to_patch_grid(
    images: NDArray[np.uint8],
    patch: int,
    stride: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Resize and normalise images on a device so that one patch covers exactly one latent cell.

    A strided patch embedding silently drops pixels that do not fill a patch. So the image is resized by
    `patch / stride`, and a size that is not a multiple of `stride` is refused.

    Args:
        images: `uint8 [B, H, W, 3]`, RGB.
        patch: patch size of the backbone in pixels.
        stride: pixels of the image that one output cell covers.
        mean, std: per-channel statistics the backbone was trained with, for values in 0..1.
        device: torch device that resizes; the images go there as bytes.

    Returns:
        `float32 [B, 3, H / stride * patch, W / stride * patch]`.

    Raises:
        UserError: the height or width is not a multiple of `stride`.
    """
    height, width = images.shape[1:3]
    if height % stride or width % stride:
        raise UserError(f"image size {width}x{height} is not a multiple of {stride}: choose one that is")
    pixels = to_device(images, device).permute(0, 3, 1, 2).float() / 255
    return resize_to_patches(pixels, patch, stride, mean, std)


def to_device(images: NDArray[np.uint8], device: torch.device | str) -> torch.Tensor:
    """The images as a tensor on a device; to a GPU from pinned memory, without waiting for the copy."""
    # A copy where the array is read-only, which tensors cannot be.
    tensor = torch.from_numpy(np.require(images, requirements=["C", "W"]))
    if torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def resize_to_patches(
    pixels: torch.Tensor, patch: int, stride: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> torch.Tensor:
    """Do the same to `float32 [B, 3, H, W]` in 0..1 of a size that is a multiple of `stride`; gradients flow."""
    height, width = pixels.shape[2:]
    size = (height // stride * patch, width // stride * patch)
    if size != (height, width):
        pixels = F.interpolate(pixels, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    offset = torch.tensor(mean, device=pixels.device).view(1, 3, 1, 1)
    scale = torch.tensor(std, device=pixels.device).view(1, 3, 1, 1)
    return (pixels - offset) / scale
