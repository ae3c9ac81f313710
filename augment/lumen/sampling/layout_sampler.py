"""Batched sampling: many layouts, ks, variants and guidance branches in one forward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from augment.lumen.diffusion_model import DiffusionModel, autocast
from augment.lumen.sampling.decoding import decoded
from augment.lumen.sampling.denoiser import Denoiser
from augment.lumen.sampling.options import DEFAULTS, NO_GUIDANCE, SamplerOptions
from augment.lumen.sampling.request import require_k, stacked_ks
from augment.lumen.sampling.tiling import Tiles, tiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from augment.lumen.adapter import LayoutControlNet
    from augment.lumen.sampling.request import Request
    from augment.lumen.sampling.tiling import Denoise

PROMPTS_KEPT = 1024


class LayoutSampler:
    """Paints images on layouts with a frozen base model and an adapter."""

    def __init__(
        self,
        base: DiffusionModel,
        adapter: LayoutControlNet,
        options: SamplerOptions = DEFAULTS,
        layout_stride: int = 8,
    ) -> None:
        """Prepare to sample.

        Args:
            base, adapter: on the same device.
            options: number of steps, guidance and precision. Guidance pushes away from the prediction without layout
                and with the negative prompt, at twice the cost.
            layout_stride: pixels of the image that one cell of a layout covers.
        """
        from diffusers import DDIMScheduler

        self.base, self.adapter = base, adapter.eval()
        self.options = options
        self._scheduler = DDIMScheduler.from_config(base.schedule, clip_sample=False)
        self._latent_cells = layout_stride // base.stride
        self._prompts: dict[str, torch.Tensor] = {}

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request]) -> list[NDArray[np.uint8]]:
        """Paint one image `uint8 [H, W, 3]` for every request; all layouts are of one size.

        Each request's own seed gives its noise, so an image does not depend on the rest of its batch.

        Raises:
            UserError: a request's k exceeds the components of the layout or the adapter, or has another grid.
            NotFinite: latents or images hold NaN or infinite values.
        """
        limit = min(self.adapter.config.num_components, *(len(request.layout) for request in requests))
        for request in requests:
            require_k(request, limit)
        device = self.base.device
        with autocast(device, self.options.precision):
            denoise = self._denoiser(requests)
            latents = torch.stack([self._noise(request) for request in requests]).to(device)
            self._scheduler.set_timesteps(self.options.num_steps, device=device)
            for timestep in self._scheduler.timesteps:
                prediction = denoise(self._scheduler.scale_model_input(latents, timestep), timestep)
                latents = self._scheduler.step(prediction.float(), timestep, latents).prev_sample
            return decoded(self.base, latents, self.options.tile)

    def _denoiser(self, requests: Sequence[Request]) -> Denoise:
        whole = Denoiser(self.base, self.adapter, self.options.guidance_scale, *self._conditions(requests))
        grid, stride = requests[0].layout.shape[1:], self._latent_cells * self.base.stride
        tile, overlap = self.options.tile, self.options.tile_overlap
        tiles = Tiles.over(*grid, *((tile // stride, overlap // stride) if tile else (max(grid), 0)))
        return tiled(whole, len(requests), tiles, self._latent_cells)

    def _conditions(self, requests: Sequence[Request]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        device = self.base.device
        layout = torch.from_numpy(np.stack([request.layout for request in requests])).float()
        layout = layout[:, : self.adapter.config.num_components].to(device)
        k = stacked_ks(requests).to(device)
        text = torch.stack([self._embed(request.prompt) for request in requests])
        if self.options.guidance_scale == NO_GUIDANCE:
            return layout, k, text
        negative = torch.stack([self._embed(request.negative_prompt) for request in requests])
        return torch.cat([layout, layout]), torch.cat([torch.zeros_like(k), k]), torch.cat([negative, text])

    def _embed(self, prompt: str) -> torch.Tensor:
        if prompt not in self._prompts:
            # With one caption per image, the embeddings would fill the memory of the device.
            if len(self._prompts) >= PROMPTS_KEPT:
                del self._prompts[next(iter(self._prompts))]
            self._prompts[prompt] = self.base.embed([prompt])[0]
        return self._prompts[prompt]

    def _noise(self, request: Request) -> torch.Tensor:
        rows, columns = (cells * self._latent_cells for cells in request.layout.shape[1:])
        shape = (self.base.unet.config.in_channels, rows, columns)
        # torch's CPU generator uses only the low 32 bits of a seed.
        return torch.from_numpy(np.random.default_rng(request.seed).standard_normal(shape, np.float32))
