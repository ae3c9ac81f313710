"""Decoding the latents of a batch, in parts that never need more memory than denoising did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from augment.errors import require_finite
from augment.lumen.grids import to_pixels
from augment.lumen.tiled_decoder import TiledDecoder

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from augment.lumen.bases.base import DiffusionModel

# Pixels that an autoencoder takes at once; one image may have more. Stable Diffusion's decoder takes more than 1 GiB
# for them in fp32.
PIXELS = 512 * 1024


def decoded(base: DiffusionModel, latents: torch.Tensor, tile: int | None = None) -> list[NDArray[np.uint8]]:
    """Decode latents `[B, C, h, w]` into images `uint8 [H, W, 3]`, a few at a time.

    Args:
        base: its autoencoder decodes.
        latents: what `base.encode` gives.
        tile: pixels of a side above which an image is decoded in tiles, to the same result; None never does.

    Raises:
        NotFinite: latents or images hold NaN or infinite values.
    """
    require_finite(latents, "the latents")
    height, width = (cells * base.stride for cells in latents.shape[2:])
    if tile is not None and max(height, width) > tile:
        decoder = TiledDecoder(base.vae, tile)
        return [to_pixels(decoder(base.unscaled(one[None])))[0] for one in latents]
    most = min(len(latents), images_at_once(height, width))
    # Parts of one size, because the same image may be rounded differently in batches of two sizes.
    size = max(count for count in range(1, most + 1) if len(latents) % count == 0)
    return [image for part in latents.split(size) for image in to_pixels(base.decode_pixels(part))]


def images_at_once(height: int, width: int) -> int:
    """Images of a size in pixels that an autoencoder takes at once, at least one."""
    return max(1, PIXELS // (height * width))
