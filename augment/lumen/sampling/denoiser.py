"""The prediction of a batch at one noise level, with guidance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from augment.lumen.bases.text import Text
from augment.lumen.sampling.options import NO_GUIDANCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from augment.lumen.bases.base import DiffusionModel, Residuals
    from augment.lumen.sampling.options import SamplerOptions

    Adapter = Callable[[torch.Tensor, torch.Tensor, Text, torch.Tensor, torch.Tensor], Residuals]
    """A layout adapter, or what is called like one."""

# Dimensions of the residuals of a transformer.
TOKENS = 3


@dataclass(frozen=True)
class Denoiser:
    """Predicts what the base was trained to predict, such as the noise or the velocity, for latents `[B, C, H, W]`.

    With guidance, one pass of the base predicts both the free branch, which follows no layout, and the bound one. By
    default the adapter runs for the bound branch alone.

    Attributes:
        base, adapter: the models.
        options: guidance, and where the adapter acts.
        layout: `float [B, K, h, w]`.
        k: `int64 [B]` or `int64 [B, h, w]`.
        text: B prompts.
        negative: B prompts that guidance steers away from; None without guidance.
        strength: of control, `float [B]` or `float [B, h, w]`; None is 1 everywhere.
    """

    base: DiffusionModel
    adapter: Adapter
    options: SamplerOptions
    layout: torch.Tensor
    k: torch.Tensor
    text: Text
    negative: Text | None = None
    strength: torch.Tensor | None = None

    def __call__(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The prediction, of the shape of the latents, for a timestep `[]` on the CPU."""
        # Filling needs no copy to the device, which could wait for it.
        steps = torch.full((len(latents),), timestep.item(), dtype=timestep.dtype, device=latents.device)
        if self.negative is None or not self.guides(timestep):
            return self.base.denoise(latents, steps, self.text, self._residuals(latents, steps, self.text, self.k))
        bound = self._residuals(latents, steps, self.text, self.k)
        if self.options.control_free_branch:
            free = self._residuals(latents, steps, self.negative, torch.zeros_like(self.k))
        else:
            free = tuple(torch.zeros_like(part) for part in bound)
        residuals = tuple(torch.cat(pair) for pair in zip(free, bound, strict=True))
        text = Text.concatenate([self.negative, self.text])
        both = self.base.denoise(torch.cat([latents] * 2), torch.cat([steps] * 2), text, residuals)
        without, with_layout = both.float().chunk(2)
        return without + self.options.guidance_scale * (with_layout - without)

    def guides(self, timestep: torch.Tensor) -> bool:
        """Whether guidance acts at a timestep on the CPU."""
        first, last = self.options.guidance_interval
        done = 1 - timestep.item() / self.base.schedule.get("num_train_timesteps", 1000)
        return self.options.guidance_scale != NO_GUIDANCE and first <= done <= last

    def _residuals(self, latents: torch.Tensor, steps: torch.Tensor, text: Text, k: torch.Tensor) -> Residuals:
        return tuple(scaled(part, self.strength) for part in self.adapter(latents, steps, text, self.layout, k))


def scaled(residual: torch.Tensor, strength: torch.Tensor | None) -> torch.Tensor:
    """A residual times a strength `[B]` or, averaged to its size, `[B, H, W]`; None is 1.

    The residual is `[B, C, h, w]`, or that of a transformer, `[B, h w, C]`, row by row.
    """
    if strength is None:
        return residual
    if strength.ndim == 1:
        return residual * strength.view(-1, *[1] * (residual.ndim - 1)).to(residual.dtype)
    if residual.ndim == TOKENS:
        rows = round(math.sqrt(residual.shape[1] * strength.shape[1] / strength.shape[2]))
        cells = F.adaptive_avg_pool2d(strength[:, None], (rows, residual.shape[1] // rows))
        return residual * cells.flatten(2).transpose(1, 2).to(residual.dtype)
    return residual * F.adaptive_avg_pool2d(strength[:, None], (residual.shape[2], residual.shape[3])).to(
        residual.dtype
    )
