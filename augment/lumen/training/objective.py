"""The loss that an adapter is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from torch import Tensor

    from augment.lumen.adapter import Adapter
    from augment.lumen.bases.base import DiffusionModel
    from augment.lumen.bases.noise import NoiseSchedule


@dataclass(frozen=True)
class Batch:
    """Clean latents `float32 [B, C, H, W]`, layouts `float32 [B, K, h, w]`, components to use, captions.

    The components to use are `int64 [B]`, or `int64 [B, h, w]` where they differ by cell.
    """

    latents: Tensor
    layout: Tensor
    k: Tensor
    captions: list[str]


def denoising_loss(
    base: DiffusionModel,
    adapter: Adapter,
    schedule: NoiseSchedule,
    batch: Batch,
    with_adapter: Tensor | None = None,
) -> Tensor:
    """Mean squared error of the base's prediction, with the adapter's residuals, at random noise levels.

    The target is what the base was trained to predict; see `NoiseSchedule.target`.

    Args:
        base, adapter, schedule: the models; gradients flow into parameters that require them.
        batch: clean samples.
        with_adapter: `bool [B]`, samples that the adapter steers; all where it is None.
    """
    latents = batch.latents
    noise = torch.randn_like(latents)
    levels = torch.randint(0, schedule.count, (len(latents),), device=latents.device)
    noisy, steps = schedule.add_noise(latents, noise, levels), schedule.timesteps(levels)
    height, width = (cells * base.stride for cells in latents.shape[2:])
    text = base.embed(batch.captions, height, width)
    residuals = adapter(noisy, steps, text, batch.layout, batch.k)
    if with_adapter is not None:
        mask = with_adapter.to(noisy.dtype)
        residuals = tuple(part * mask.view(-1, *[1] * (part.ndim - 1)) for part in residuals)
    prediction = base.denoise(noisy, steps, text, residuals)
    return F.mse_loss(prediction.float(), schedule.target(latents, noise, levels).float())
