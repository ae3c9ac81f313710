"""The autoencoder of a base model alone: what it loses of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from augment.loading import quiet
from augment.lumen.bases.loading import Source, cannot_load
from augment.lumen.grids import to_pixels, to_unit
from augment.lumen.tiled_decoder import TiledDecoder
from augment.lumen.zoo import source as source_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Autoencoder:
    """Encodes and decodes images as a base model does, without its network and its text encoders."""

    def __init__(self, name: str, device: str = "cpu", revision: str | None = None, tile: int | None = None) -> None:
        """Load that of a base model.

        Args:
            name: see `load_diffusion_model`.
            device: torch device to run on.
            revision: commit of a hub id; None takes its newest.
            tile: pixels of a side above which an image is decoded in tiles, to the same result; None never does.

        Raises:
            UserError: it cannot be loaded.
        """
        try:
            with quiet():
                vae = Source(source_of(name), {}, torch.float32, "shapes", revision).vae()
        except (OSError, ValueError) as error:
            raise cannot_load(name, error) from error
        self._vae, self._device, self._tile = vae.eval().requires_grad_(False).to(device), device, tile

    @torch.inference_mode()
    def restored(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """RGB images `uint8 [H, W, 3]` after encoding and decoding, one at a time.

        Raises:
            NotFinite: an image holds NaN or infinite values.
        """
        return [to_pixels(self._restored(to_unit(image[None]).to(self._device)))[0] for image in images]

    def _restored(self, pixels: torch.Tensor) -> torch.Tensor:
        encoded = self._vae.encode(pixels)
        latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        if self._tile is not None and max(pixels.shape[2:]) > self._tile:
            return TiledDecoder(self._vae, self._tile)(latents)
        decoded: torch.Tensor = self._vae.decode(latents).sample
        return decoded
