"""The prediction of a batch at one noise level, with guidance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from augment.lumen.sampling.options import NO_GUIDANCE

if TYPE_CHECKING:
    from augment.lumen.adapter import LayoutControlNet
    from augment.lumen.diffusion_model import DiffusionModel


@dataclass(frozen=True)
class Denoiser:
    """Predicts what the base was trained to predict, the noise or the velocity, for latents `[B, C, H, W]`.

    With guidance, the first half of the conditions is that of the free branch.

    Attributes:
        base, adapter: the models.
        guidance_scale: 1 is no guidance.
        layout: `float [N, K, h, w]`, N = B, or 2 B with guidance.
        k: `int64 [N]` or `int64 [N, h, w]`.
        text: embeddings `[N, L, D]`.
    """

    base: DiffusionModel
    adapter: LayoutControlNet
    guidance_scale: float
    layout: torch.Tensor
    k: torch.Tensor
    text: torch.Tensor

    def __call__(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The prediction, of the shape of the latents."""
        inputs = torch.cat([latents] * (len(self.layout) // len(latents)))
        steps = timestep.expand(len(inputs))
        down, middle = self.adapter(inputs, steps, self.text, self.layout, self.k)
        output = self.base.unet(
            inputs, steps, self.text, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample
        if self.guidance_scale == NO_GUIDANCE:
            return output
        free, bound = output.float().chunk(2)
        return free + self.guidance_scale * (bound - free)
