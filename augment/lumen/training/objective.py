"""The loss that an adapter is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from diffusers import DDPMScheduler
    from torch import Tensor

    from augment.lumen.adapter import LayoutControlNet
    from augment.lumen.bases.base import DiffusionModel
    from augment.lumen.bases.text import Text


@dataclass(frozen=True)
class Batch:
    """Clean latents `float32 [B, C, H, W]`, layouts `float32 [B, K, h, w]`, components to use, captions.

    The components to use are `int64 [B]`, or `int64 [B, h, w]` where they differ by cell. `text` holds the embeddings
    of the captions; where it is None, the base makes them.
    """

    latents: Tensor
    layout: Tensor
    k: Tensor
    captions: list[str]
    text: Text | None = None

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        latents, layout, k = (part.to(device) for part in (self.latents, self.layout, self.k))
        return Batch(latents, layout, k, self.captions, None if self.text is None else self.text.to(device))


def training_schedule(base: DiffusionModel) -> DDPMScheduler:
    """The noise schedule that the base was trained with, for adding noise."""
    from diffusers import DDPMScheduler

    return DDPMScheduler.from_config(base.schedule)


def denoising_loss(
    base: DiffusionModel,
    adapter: LayoutControlNet,
    schedule: DDPMScheduler,
    batch: Batch,
    with_adapter: Tensor | None = None,
) -> Tensor:
    """Mean squared error of the base's prediction, with the adapter's residuals, at random noise levels.

    The target is what the base was trained to predict: the noise, or the velocity of Salimans and Ho,
    *Progressive distillation for fast sampling of diffusion models*, 2022, eq. 12 (appendix D).

    Args:
        base, adapter, schedule: the models; gradients flow into parameters that require them.
        batch: clean samples.
        with_adapter: `bool [B]`, samples that the adapter steers; all where it is None.
    """
    latents = batch.latents
    noise = torch.randn_like(latents)
    steps = torch.randint(0, schedule.config.num_train_timesteps, (len(latents),), device=latents.device)
    noisy = schedule.add_noise(latents, noise, steps)
    height, width = (cells * base.stride for cells in latents.shape[2:])
    text = base.embed(batch.captions, height, width) if batch.text is None else batch.text
    residuals = adapter(noisy, steps, text, batch.layout, batch.k)
    if with_adapter is not None:
        mask = with_adapter.to(noisy.dtype).view(-1, 1, 1, 1)
        residuals = tuple(part * mask for part in residuals)
    prediction = base.denoise(noisy, steps, text, residuals)
    target = schedule.get_velocity(latents, noise, steps) if base.prediction == "v" else noise
    return F.mse_loss(prediction.float(), target.float())
