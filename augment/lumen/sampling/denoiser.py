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
    default the adapter runs for the bound branch alone. With a scale of its own for the text, a third branch follows
    the layout without the text: Brooks et al., *InstructPix2Pix*, 2023, eq. 3.

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
        if self.options.records_graphs:
            # What a graph returned in an earlier step may be overwritten.
            torch.compiler.cudagraph_mark_step_begin()
        # Filling needs no copy to the device, which could wait for it.
        steps = torch.full((len(latents),), timestep.item(), dtype=timestep.dtype, device=latents.device)
        if self.negative is None or not self.guides(timestep):
            return self.base.denoise(latents, steps, self.text, self._residuals(latents, steps, self.text, self.k))
        texts, ks = [self.negative, self.text], [torch.zeros_like(self.k), self.k]
        if self.options.text_guidance_scale is not None:
            texts.insert(1, self.negative)
            ks.insert(1, self.k)
        count, free = len(texts), 0 if self.options.control_free_branch else 1
        inputs, levels, text = torch.cat([latents] * count), torch.cat([steps] * count), Text.concatenate(texts)
        bound = slice(free * len(latents), None)
        residuals = self._residuals(inputs[bound], levels[bound], text[bound], torch.cat(ks[free:]))
        if free:
            residuals = tuple(torch.cat([torch.zeros_like(part[: len(latents)]), part]) for part in residuals)
        without, *layout_alone, whole = self.base.denoise(inputs, levels, text, residuals).float().chunk(count)
        scale = self.options.guidance_scale
        if not layout_alone:
            return without + scale * (whole - without)
        [layout] = layout_alone
        return without + scale * (layout - without) + (self.options.text_guidance_scale or 0) * (whole - layout)

    def guides(self, timestep: torch.Tensor) -> bool:
        """Whether guidance acts at a timestep on the CPU."""
        first, last = self.options.guidance_interval
        done = 1 - timestep.item() / self.base.schedule.get("num_train_timesteps", 1000)
        return self.options.guidance_scale != NO_GUIDANCE and first <= done <= last

    def _residuals(self, latents: torch.Tensor, steps: torch.Tensor, text: Text, k: torch.Tensor) -> Residuals:
        branches = len(latents) // len(self.layout)
        parts = self.adapter(latents, steps, text, torch.cat([self.layout] * branches), k)
        if self.strength is None:
            return parts
        strength = torch.cat([self.strength] * branches)
        return tuple(scaled(part, strength) for part in parts)


def scaled(residual: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    """A residual times a strength `[B]` or, averaged to its size, `[B, H, W]`.

    The residual is `[B, C, h, w]`, or that of a transformer, `[B, h w, C]`, row by row.
    """
    if strength.ndim == 1:
        return residual * strength.view(-1, *[1] * (residual.ndim - 1)).to(residual.dtype)
    if residual.ndim == TOKENS:
        rows = round(math.sqrt(residual.shape[1] * strength.shape[1] / strength.shape[2]))
        cells = F.adaptive_avg_pool2d(strength[:, None], (rows, residual.shape[1] // rows))
        return residual * cells.flatten(2).transpose(1, 2).to(residual.dtype)
    cells = F.adaptive_avg_pool2d(strength[:, None], (residual.shape[2], residual.shape[3]))
    return residual * cells.to(residual.dtype)
