"""The prediction of a batch at one noise level, with guidance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from augment.lumen.sampling.options import NO_GUIDANCE

if TYPE_CHECKING:
    from augment.lumen.adapter import LayoutControlNet
    from augment.lumen.diffusion_model import DiffusionModel
    from augment.lumen.sampling.options import SamplerOptions


@dataclass(frozen=True)
class Denoiser:
    """Predicts what the base was trained to predict, the noise or the velocity, for latents `[B, C, H, W]`.

    With guidance, one pass of the base predicts both the free branch, which follows no layout, and the bound one. By
    default the adapter runs for the bound branch alone.

    Attributes:
        base, adapter: the models.
        options: guidance, and where the adapter acts.
        layout: `float [B, K, h, w]`.
        k: `int64 [B]` or `int64 [B, h, w]`.
        text: embeddings `[B, L, D]`.
        negative: the same of what guidance steers away from; without guidance it is not read.
        strength: of control, `float [B]` or `float [B, h, w]`; None is 1 everywhere.
    """

    base: DiffusionModel
    adapter: LayoutControlNet
    options: SamplerOptions
    layout: torch.Tensor
    k: torch.Tensor
    text: torch.Tensor
    negative: torch.Tensor | None = None
    strength: torch.Tensor | None = None

    def __call__(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The prediction, of the shape of the latents, for a timestep `[]` on the CPU."""
        # Filling needs no copy to the device, which could wait for it.
        steps = torch.full((len(latents),), timestep.item(), dtype=timestep.dtype, device=latents.device)
        if not self.guides(timestep):
            residuals = self._residuals(latents, steps, self.text, self.k)
            return self._predict(latents, steps, self.text, residuals)
        assert self.negative is not None
        twice, both, texts = torch.cat([latents] * 2), torch.cat([steps] * 2), torch.cat([self.negative, self.text])
        residuals = self._residuals(latents, steps, self.text, self.k)
        if self.options.control_free_branch:
            free = self._residuals(latents, steps, self.negative, torch.zeros_like(self.k))
        else:
            free = [torch.zeros_like(part) for part in residuals]
        joined = [torch.cat(pair) for pair in zip(free, residuals, strict=True)]
        unbound, bound = self._predict(twice, both, texts, joined).float().chunk(2)
        return unbound + self.options.guidance_scale * (bound - unbound)

    def guides(self, timestep: torch.Tensor) -> bool:
        """Whether guidance acts at a timestep on the CPU."""
        if self.options.guidance_scale == NO_GUIDANCE:
            return False
        first, last = self.options.guidance_interval
        done = 1 - (timestep.item() + 1) / self.base.schedule.get("num_train_timesteps", 1000)
        return first <= done < last or last == 1 <= done + 1

    def _residuals(
        self, latents: torch.Tensor, steps: torch.Tensor, text: torch.Tensor, k: torch.Tensor
    ) -> list[torch.Tensor]:
        down, middle = self.adapter(latents, steps, text, self.layout, k)
        return [scaled(part, self.strength) for part in (*down, middle)]

    def _predict(
        self, latents: torch.Tensor, steps: torch.Tensor, text: torch.Tensor, residuals: list[torch.Tensor]
    ) -> torch.Tensor:
        *down, middle = residuals
        prediction: torch.Tensor = self.base.unet(
            latents, steps, text, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample
        return prediction


def scaled(residual: torch.Tensor, strength: torch.Tensor | None) -> torch.Tensor:
    """A residual `[B, C, h, w]` times a strength `[B]` or, averaged to its size, `[B, H, W]`; None is 1."""
    if strength is None:
        return residual
    if strength.ndim == 1:
        return residual * strength[:, None, None, None].to(residual.dtype)
    return residual * F.adaptive_avg_pool2d(strength[:, None], residual.shape[-2:]).to(residual.dtype)
