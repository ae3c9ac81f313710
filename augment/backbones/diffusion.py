"""Features of the U-Net of a latent diffusion model, such as Stable Diffusion."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from augment.backbones.encoder import revision_of
from augment.backbones.options import FeatureOptions
from augment.backbones.patch_grid import to_patch_grid
from augment.backbones.transformer import collecting
from augment.backbones.unet_blocks import block_of, channels_of_block, level_of, timestep_of
from augment.lumen.bases.loading import load_diffusion_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Normalisation to -1..1.
HALF = (0.5, 0.5, 0.5)


class DiffusionBackbone:
    """The output of an up block of a U-Net that denoises the image at one timestep, with an empty prompt.

    Tang et al., *Emergent Correspondence from Image Diffusion*, NeurIPS 2023. The noise comes from the bytes of the
    image, so that features depend neither on other images nor on their order.
    """

    def __init__(self, name: str, source: str, device: str, settings: FeatureOptions) -> None:
        """Load a model of the zoo, a hub id or a local folder in diffusers layout.

        Raises:
            UserError: it cannot be loaded, or has no such block or timestep.
        """
        from diffusers import DDIMScheduler

        dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
        self._model = load_diffusion_model(source, device, dtype)
        network: Any = self._model.network
        config = network.config
        self._block = block_of(config, settings)
        self._up_block: torch.nn.Module = network.up_blocks[self._block]
        self._timestep = timestep_of(self._model.schedule, settings)
        self.name, self.settings = name, settings
        self.channels = channels_of_block(config, self._block)
        self.patch = self._model.stride * 2 ** level_of(config, self._block)
        self._scheduler = DDIMScheduler.from_config(self._model.schedule)
        changes = {
            **settings.changed,
            "block": self._block,
            "timestep": self._timestep,
            # Neither is among the weights: how much noise a timestep adds, and to latents of which scale.
            "signal": float(self._scheduler.alphas_cumprod[self._timestep]),
            "scaling_factor": self._model.vae.config.scaling_factor,
        }
        self.revision = revision_of(self._model.digest(), changes)

    @torch.inference_mode()
    def features(self, images: NDArray[np.uint8], stride: int = 8) -> torch.Tensor:
        """Encode RGB images `uint8 [B, H, W, 3]` into `float32 [B, channels, H / stride, W / stride]` on the device.

        Raises:
            UserError: a size is not a multiple of `stride`.
            NotFinite: the latents hold NaN or infinite values.
        """
        pixels = to_patch_grid(images, self.patch, stride, HALF, HALF, self._model.device)
        rows, columns = pixels.shape[2] // self.patch, pixels.shape[3] // self.patch
        latents = self._model.encode_pixels(pixels)
        noise = torch.stack([content_noise(image, latents.shape[1:]) for image in images]).to(latents.device)
        steps = torch.full((len(images),), self._timestep, device=latents.device)
        noisy = self._scheduler.add_noise(latents, noise, steps)
        # In the precision of the weights, whatever that of the caller is. SDXL also reads the size of the images.
        with torch.autocast(latents.device.type, enabled=False):
            prompts = self._model.embed([""], *images.shape[1:3])[[0] * len(images)]
        with collecting([self._up_block], stop=True) as outputs:
            self._model.denoise(noisy.to(prompts.embeddings.dtype), steps, prompts)
        assert outputs[0].shape[1:] == (self.channels, rows, columns)
        return outputs[0].float()


def content_noise(image: NDArray[np.uint8], shape: torch.Size) -> torch.Tensor:
    """Standard normal noise `float32` of a shape, seeded by the bytes and the size of an image."""
    content = hashlib.sha256(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes()).digest()
    return torch.from_numpy(np.random.default_rng(list(content)).standard_normal(tuple(shape), np.float32))
