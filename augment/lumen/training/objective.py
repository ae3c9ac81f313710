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
    from augment.lumen.bases.text import Text


@dataclass(frozen=True)
class Batch:
    """Samples, and the noise that is added to them.

    Attributes:
        latents: clean, `float32 [B, C, H, W]`.
        layout: `float32 [B, K, h, w]`.
        k: components to use, `int64 [B]`, or `int64 [B, h, w]` where they differ by cell.
        captions: B texts.
        noise: `float32 [B, C, H, W]`.
        levels: of the noise, `int64 [B]`.
        text: embeddings of the captions; where it is None, the base makes them.
    """

    latents: Tensor
    layout: Tensor
    k: Tensor
    captions: list[str]
    noise: Tensor
    levels: Tensor
    text: Text | None = None

    def of(self, rows: slice) -> Batch:
        """Some samples of the batch."""
        return Batch(
            self.latents[rows],
            self.layout[rows],
            self.k[rows],
            self.captions[rows],
            self.noise[rows],
            self.levels[rows],
            None if self.text is None else self.text[rows],
        )


@dataclass(frozen=True)
class Prediction:
    """What the models predict of a batch at some noise levels, and what is right.

    Attributes:
        schedule: of the noise.
        noisy: latents `float32 [B, C, H, W]` with noise.
        levels: of the noise, `int64 [B]`.
        output: the prediction, `float32 [B, C, H, W]`.
        target: what is right; see `NoiseSchedule.target`.
    """

    schedule: NoiseSchedule
    noisy: Tensor
    levels: Tensor
    output: Tensor
    target: Tensor

    @property
    def clean(self) -> Tensor:
        """The clean latents `float32 [B, C, H, W]` that the prediction implies, in one step."""
        return self.schedule.clean(self.noisy, self.output, self.levels)

    def loss(self, min_snr_gamma: float | None = None) -> Tensor:
        """Mean squared error, weighted by noise level; see `snr_weights`."""
        if min_snr_gamma is None:
            return F.mse_loss(self.output, self.target)
        errors = (self.output - self.target).square().flatten(1).mean(1)
        weights = snr_weights(self.schedule.signal(self.levels), min_snr_gamma)
        return (errors * weights * self.schedule.error_scale(self.levels)).mean()


def snr_weights(signal: Tensor, gamma: float) -> Tensor:
    """Weights of the errors of the noise at some noise levels, min(SNR, gamma) / SNR.

    In units of the clean image they weigh the error by min(SNR, gamma), and so do these weights times
    `NoiseSchedule.error_scale` for other predictions. Hang et al., *Efficient diffusion training via min-SNR weighting
    strategy*, 2023, sec. 3.4.

    Args:
        signal: share of the signal in the variance, `float [B]` in 0..1; SNR = signal / (1 - signal).
        gamma: above 0.

    Returns:
        `float [B]`, 0..1; without any signal 1.
    """
    # min(SNR, gamma) / SNR = min(1, gamma / SNR), finite at both ends.
    return (gamma * (1 - signal) / signal.clamp(min=1e-12)).clamp(max=1)


def predict(
    base: DiffusionModel,
    adapter: Adapter,
    schedule: NoiseSchedule,
    batch: Batch,
    with_adapter: Tensor | None = None,
) -> Prediction:
    """What base and adapter predict of a batch.

    The target is what the base was trained to predict; see `NoiseSchedule.target`.

    Args:
        base, adapter, schedule: the models; gradients flow into parameters that require them.
        batch: samples and noise.
        with_adapter: `bool [B]`, samples that the adapter steers; all where it is None.
    """
    latents, noise, levels = batch.latents, batch.noise, batch.levels
    noisy = schedule.add_noise(latents, noise, levels)
    height, width = (cells * base.stride for cells in latents.shape[2:])
    text = base.embed(batch.captions, height, width) if batch.text is None else batch.text
    steps = schedule.timesteps(levels)
    residuals = adapter(noisy, steps, text, batch.layout, batch.k)
    if with_adapter is not None:
        mask = with_adapter.to(noisy.dtype)
        residuals = tuple(part * mask.view(-1, *[1] * (part.ndim - 1)) for part in residuals)
    output = base.denoise(noisy, steps, text, residuals)
    target = schedule.target(latents, noise, levels)
    return Prediction(schedule, noisy, levels, output.float(), target.float())


def random_noise(schedule: NoiseSchedule, latents: Tensor) -> tuple[Tensor, Tensor]:
    """Noise of the shape of the latents, and noise levels `int64 [B]`, from torch's generator of their device."""
    noise = torch.randn_like(latents)
    return noise, torch.randint(0, schedule.count, (len(latents),), device=latents.device)
