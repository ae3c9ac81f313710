"""Batched sampling: many layouts, ks, variants and both branches of guidance in one forward pass."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch

from augment.lumen.bases.text import Text
from augment.lumen.precision import casting
from augment.lumen.sampling.decoding import decoded
from augment.lumen.sampling.denoiser import Denoiser
from augment.lumen.sampling.options import DEFAULTS, NO_GUIDANCE, SamplerOptions
from augment.lumen.sampling.request import guided, require_k, stacked_ks, stacked_strengths
from augment.lumen.sampling.reuse import ReusingDenoiser
from augment.lumen.sampling.schedule import sampling_schedule
from augment.lumen.sampling.tiling import Tiles, tiled
from augment.lumen.transfer import uploaded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from augment.lumen.adapter import Adapter
    from augment.lumen.bases.base import DiffusionModel
    from augment.lumen.sampling.decoding import Images
    from augment.lumen.sampling.request import Request
    from augment.lumen.sampling.tiling import Denoise

# Bytes of embeddings to keep. With one caption for each image, all of them would fill the memory of the device.
PROMPTS_KEPT = 256 * 2**20


class LayoutSampler:
    """Paints images on layouts with a frozen base model and an adapter."""

    def __init__(
        self,
        base: DiffusionModel,
        adapter: Adapter,
        options: SamplerOptions = DEFAULTS,
        layout_stride: int = 8,
    ) -> None:
        """Prepare to sample.

        Args:
            base, adapter: on the same device. Weights in float32 are cast at each step if the options ask for another
                precision; `augment.lumen.sampling.loading` loads them in it.
            options: see `SamplerOptions`. Guidance pushes away from the prediction without layout and with the negative
                prompt, at twice the cost.
            layout_stride: pixels of the image that one cell of a layout covers.

        Raises:
            UserError: the scheduler does not exist for the base.
        """
        self.base, self.adapter = base, adapter.eval()
        self.options = options
        self._schedule = sampling_schedule(base.schedule, options)
        self._latent_cells = layout_stride // base.stride
        # An adapter in training is in float32, also where the frozen base is not.
        self._dtype = next(adapter.parameters()).dtype
        self._prompts: dict[tuple[str, int, int], Text] = {}

    def generate(self, requests: Sequence[Request]) -> list[NDArray[np.uint8]]:
        """Paint one image `uint8 [H, W, 3]` for every request; all layouts are of one size.

        Each request's own seed gives its noise, so an image does not depend on the rest of its batch, but for the order
        in which a device adds numbers; with `fixed_batch`, not even for that. See docs/sampling.md.

        Raises:
            UserError: a request's k exceeds the components of the layout or the adapter, or has another grid.
            NotFinite: latents or images hold NaN or infinite values.
        """
        return self.begin(requests)()

    @torch.inference_mode()
    def begin(self, requests: Sequence[Request]) -> Images:
        """Begin to paint; what is returned waits for the images. See `generate`.

        A GPU gets all its work here, so that it has work while the host prepares the next batch. What is not finite is
        an error of the wait.
        """
        limit = min(self.adapter.config.num_components, *(len(request.layout) for request in requests))
        for request in requests:
            require_k(request, limit)
        size = self.options.fixed_batch or len(requests)
        parts: list[tuple[Images, int]] = []
        for start in range(0, len(requests), size):
            part = requests[start : start + size]
            parts.append((self._painted([*part, *[part[-1]] * (size - len(part))]), len(part)))
        return lambda: [image for images, count in parts for image in images()[:count]]

    def _painted(self, requests: Sequence[Request]) -> Images:
        """The images of one batch."""
        latents = self._denoised(requests, self._denoise(requests))
        # In half precision with few exponents, the activations of an autoencoder overflow.
        with self._casting() if self.options.precision == "bf16" else nullcontext():
            return decoded(self.base, latents, self.options.tile)

    def _denoise(self, requests: Sequence[Request]) -> Denoise:
        """What predicts the batch. It keeps maps for all steps: hold it no longer than these."""
        with self._casting():
            denoiser = self._denoiser(requests)
        return tiled(denoiser, self._tiles(requests[0]), self._latent_cells, self._reusing)

    def _reusing(self, denoiser: Denoiser) -> Denoise:
        """What predicts one batch or its tiles, with reuse across steps where the options ask for it."""
        steps = self.options.reuse_adapter, self.options.reuse_blocks
        return denoiser if steps == (1, 1) else ReusingDenoiser(denoiser, *steps)

    def _tiles(self, request: Request) -> Tiles:
        """The tiles of an image, in cells of its layout; one that covers it if it is not to be cut."""
        grid, stride = request.layout.shape[1:], self._latent_cells * self.base.stride
        tile, overlap = self.options.tile, self.options.tile_overlap
        return Tiles.over(*grid, *((tile // stride, overlap // stride) if tile else (max(grid), 0)))

    def _denoised(self, requests: Sequence[Request], denoise: Denoise) -> torch.Tensor:
        """The latents `float32 [B, C, h, w]` after all steps."""
        device, timesteps = self.base.device, self._schedule.timesteps
        weights = uploaded(self._schedule.weights, device)[:, :, None, None, None, None]
        noise = uploaded(torch.stack([self.noise(request) for request in requests], 1), device)
        terms = torch.cat([noise[:1], noise.new_zeros(len(timesteps), *noise.shape[1:]), noise[1:]])
        for index, timestep in enumerate(timesteps):
            latents = (weights[index] * terms).sum(0)
            with self._casting():
                terms[1 + index] = denoise(latents.to(self._dtype), timestep)
        return (weights[-1] * terms).sum(0)

    def _denoiser(self, requests: Sequence[Request]) -> Denoiser:
        device = self.base.device
        layout = torch.from_numpy(np.stack([request.layout for request in requests])).float()
        layout = uploaded(layout[:, : self.adapter.config.num_components], device)
        tiles, stride = self._tiles(requests[0]), self._latent_cells * self.base.stride

        def texts(prompts: Sequence[str]) -> Text:
            embedded = [self._embed(prompt, tiles.height * stride, tiles.width * stride) for prompt in prompts]
            return Text.concatenate(embedded)

        strengths = stacked_strengths(requests, self.options.control_strength)
        options = guided(self.options, requests)
        return Denoiser(
            self.base,
            self.adapter,
            options,
            layout,
            uploaded(stacked_ks(requests), device),
            texts([request.prompt for request in requests]),
            texts([request.negative_prompt for request in requests]) if options.guidance_scale != NO_GUIDANCE else None,
            None if strengths is None else uploaded(strengths, device),
        )

    def _casting(self) -> torch.autocast:
        return casting(self.base.device, self.options.precision, self._dtype)

    def _embed(self, prompt: str, height: int, width: int) -> Text:
        key = (prompt, height, width)
        if key not in self._prompts:
            # One at a time, so that they do not depend on the other prompts.
            text = self.base.embed([prompt], height, width)
            # All of a base are of one size.
            while self._prompts and (len(self._prompts) + 1) * text.nbytes > PROMPTS_KEPT:
                del self._prompts[next(iter(self._prompts))]
            self._prompts[key] = text
        return self._prompts[key]

    def noise(self, request: Request) -> torch.Tensor:
        """The first noise, and those that the sampler adds, `float32 [N, C, h, w]`."""
        rows, columns = (cells * self._latent_cells for cells in request.layout.shape[1:])
        shape = (self._schedule.noises, self.base.latent_channels, rows, columns)
        # torch's CPU generator uses only the low 32 bits of a seed.
        return torch.from_numpy(np.random.default_rng(request.seed).standard_normal(shape, np.float32))
