"""Batched sampling: many layouts, ks, variants and guidance branches in one forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from augment.errors import UserError
from augment.lumen.diffusion_model import DiffusionModel, autocast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from augment.lumen.adapter import LayoutControlNet

PROMPTS_KEPT = 1024


@dataclass(frozen=True)
class Request:
    """One image to paint.

    Attributes:
        layout: `float16 [K, h, w]`.
        k: leading components to follow, 0..K, or those to follow in each cell, `int [h, w]`.
        prompt: what to paint.
        seed: of its noise, 0..2**63 - 1.
        negative_prompt: guidance steers away from it.
    """

    layout: NDArray[np.float16]
    k: int | NDArray[np.integer]
    prompt: str
    seed: int
    negative_prompt: str = ""


class LayoutSampler:
    """Paints images on layouts with a frozen base model and an adapter."""

    def __init__(
        self,
        base: DiffusionModel,
        adapter: LayoutControlNet,
        num_steps: int = 20,
        guidance_scale: float = 2.0,
        precision: str = "bf16",
        layout_stride: int = 8,
    ) -> None:
        """Prepare to sample.

        Args:
            base, adapter: on the same device.
            num_steps: denoising steps.
            guidance_scale: 1 is no guidance; more pushes away from the prediction without layout and with the
                negative prompt, at twice the cost.
            precision: `bf16` or `fp32`.
            layout_stride: pixels of the image that one cell of a layout covers.
        """
        from diffusers import DDIMScheduler

        self.base, self.adapter = base, adapter.eval()
        self.num_steps, self.guidance_scale, self.precision = num_steps, guidance_scale, precision
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
            _require_k(request, limit)
        device = self.base.device
        with autocast(device, self.precision):
            layout, k, text = self._conditions(requests)
            latents = torch.stack([self._noise(request) for request in requests]).to(device)
            self._scheduler.set_timesteps(self.num_steps, device=device)
            for timestep in self._scheduler.timesteps:
                prediction = self._predict(latents, timestep, layout, k, text)
                latents = self._scheduler.step(prediction.float(), timestep, latents).prev_sample
            return list(self.base.decode(latents))

    @property
    def _guided(self) -> bool:
        return self.guidance_scale != 1.0

    def _conditions(self, requests: Sequence[Request]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        device = self.base.device
        layout = torch.from_numpy(np.stack([request.layout for request in requests])).float()
        layout = layout[:, : self.adapter.config.num_components].to(device)
        k = _stacked_ks(requests).to(device)
        text = torch.stack([self._embed(request.prompt) for request in requests])
        if not self._guided:
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

    def _predict(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        layout: torch.Tensor,
        k: torch.Tensor,
        text: torch.Tensor,
    ) -> torch.Tensor:
        inputs = self._scheduler.scale_model_input(torch.cat([latents] * (len(layout) // len(latents))), timestep)
        steps = timestep.expand(len(inputs))
        down, middle = self.adapter(inputs, steps, text, layout, k)
        output = self.base.unet(
            inputs, steps, text, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample
        if not self._guided:
            return output
        free, bound = output.float().chunk(2)
        return free + self.guidance_scale * (bound - free)


def _require_k(request: Request, limit: int) -> None:
    """Raise UserError if a k of the request is not in 0..`limit`, or there is not one for each cell."""
    ks, grid = np.asarray(request.k), request.layout.shape[1:]
    if ks.ndim and ks.shape != grid:
        raise UserError(f"k has {ks.shape} cells and the layout {grid}: give one k for each cell, or one for all")
    if wrong := [int(k) for k in (ks.min(), ks.max()) if not 0 <= k <= limit]:
        raise UserError(f"k = {wrong[0]}: the adapter and its layouts hold 0..{limit} components")


def _stacked_ks(requests: Sequence[Request]) -> torch.Tensor:
    """The ks `int64 [B]` of the requests, or `int64 [B, h, w]` if one of them has a k for each cell."""
    if all(np.ndim(request.k) == 0 for request in requests):
        return torch.tensor([int(request.k) for request in requests])
    cells = [np.broadcast_to(np.asarray(request.k, np.int64), request.layout.shape[1:]) for request in requests]
    return torch.from_numpy(np.stack(cells))
