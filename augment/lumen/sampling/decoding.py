"""Decoding the latents of a batch, in parts that never need more memory than denoising did."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from augment.errors import require_finite, require_none
from augment.lumen.grids import to_levels, to_pixels
from augment.lumen.tiled_decoder import TiledDecoder
from augment.lumen.transfer import download

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from augment.lumen.bases.base import DiffusionModel

    Images = Callable[[], list[NDArray[np.uint8]]]
    """Waits for images `uint8 [H, W, 3]`; raises NotFinite if latents or images hold NaN or infinite values."""

# Pixels that an autoencoder takes at once; one image may have more. Stable Diffusion's decoder takes more than 1 GiB
# for them in fp32.
PIXELS = 512 * 1024


def decoded(base: DiffusionModel, latents: torch.Tensor, tile: int | None = None) -> Images:
    """Begin to decode latents `[B, C, h, w]`, a few at a time; what is returned waits for the images.

    On a GPU nothing here waits for the device, unless images are decoded in tiles.

    Args:
        base: its autoencoder decodes.
        latents: what `base.encode` gives.
        tile: pixels of a side above which an image is decoded in tiles, to the same result; None never does.

    Raises:
        NotFinite: latents or images that are decoded in tiles hold NaN or infinite values.
    """
    height, width = (cells * base.stride for cells in latents.shape[2:])
    if tile is not None and max(height, width) > tile:
        require_finite(latents, "the latents")
        decoder = TiledDecoder(base.vae, tile)
        images = [to_pixels(decoder(base.unscaled(one[None])))[0] for one in latents]
        return lambda: images
    # On a CPU a single image fits the caches.
    most = 1 if latents.device.type == "cpu" else min(len(latents), images_at_once(height, width))
    parts = [_part(base, part) for part in latents.split(part_size(len(latents), most))]
    return lambda: [image for part in parts for image in part()]


def part_size(count: int, most: int) -> int:
    """The largest size up to `most` of parts of one size: in two sizes, the same image may be rounded differently."""
    return max(size for size in range(1, most + 1) if count % size == 0)


def _part(base: DiffusionModel, latents: torch.Tensor) -> Images:
    """Begin to decode latents at once."""
    pixels = base.decode_pixels(latents)
    totals = {"the latents": latents.numel(), "the images": pixels.numel()}
    waiting = download(_not_finite(latents), _not_finite(pixels), to_levels(pixels))

    def images() -> list[NDArray[np.uint8]]:
        *counts, levels = waiting()
        for count, (what, total) in zip(counts, totals.items(), strict=True):
            require_none(int(count), total, what)
        return list(levels.numpy())

    return images


def _not_finite(values: torch.Tensor) -> torch.Tensor:
    """How many values are NaN or infinite, as a tensor on their device."""
    return values.numel() - values.isfinite().sum()


def images_at_once(height: int, width: int) -> int:
    """Images of a size in pixels that an autoencoder takes at once on a GPU, at least one."""
    return max(1, PIXELS // (height * width))
