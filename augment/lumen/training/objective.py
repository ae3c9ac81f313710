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
        target: the noise, or the velocity.
    """

    schedule: DDPMScheduler
    noisy: Tensor
    levels: Tensor
    output: Tensor
    target: Tensor

    @property
    def is_velocity(self) -> bool:
        """Whether the base predicts the velocity, and not the noise."""
        return bool(self.schedule.config.prediction_type == "v_prediction")

    @property
    def signal(self) -> Tensor:
        """Share of the signal in the variance of the noisy latents, `float32 [B]` in 0..1."""
        return self.schedule.alphas_cumprod.to(self.levels.device)[self.levels].float()

    @property
    def clean(self) -> Tensor:
        """The clean latents `float32 [B, C, H, W]` that the prediction implies, in one step.

        Without any signal, noise says nothing of the clean latents: there, a prediction of the noise gives zeros.
        """
        signal = self.signal.view(-1, 1, 1, 1)
        if self.is_velocity:
            return signal.sqrt() * self.noisy - (1 - signal).sqrt() * self.output
        estimate = (self.noisy - (1 - signal).sqrt() * self.output) / signal.sqrt().clamp(min=1e-4)
        return torch.where(signal > 0, estimate, torch.zeros_like(estimate))

    def loss(self, min_snr_gamma: float | None = None) -> Tensor:
        """Mean squared error, weighted by noise level; see `snr_weights`."""
        if min_snr_gamma is None:
            return F.mse_loss(self.output, self.target)
        errors = (self.output - self.target).square().flatten(1).mean(1)
        return (errors * snr_weights(self.signal, min_snr_gamma, is_velocity=self.is_velocity)).mean()


def snr_weights(signal: Tensor, gamma: float, *, is_velocity: bool) -> Tensor:
    """Weights of noise levels: min(SNR, gamma) / SNR for noise, and min(SNR, gamma) / (SNR + 1) for velocity.

    In units of the clean image, both weigh the error by min(SNR, gamma). Hang et al., *Efficient diffusion training via
    min-SNR weighting strategy*, 2023, sec. 3.4.

    Args:
        signal: share of the signal in the variance, `float [B]` in 0..1; SNR = signal / (1 - signal).
        gamma: above 0.
        is_velocity: what the base predicts.

    Returns:
        `float [B]`, 0..1; without any signal 1 for noise, and 0 for velocity.
    """
    # min(SNR, gamma) / SNR = min(1, gamma / SNR), and 1 / (SNR + 1) = 1 - signal: finite at both ends.
    capped = (gamma * (1 - signal) / signal.clamp(min=1e-12)).clamp(max=1)
    return capped * signal if is_velocity else capped


def training_schedule(base: DiffusionModel) -> DDPMScheduler:
    """The noise schedule that the base was trained with, for adding noise."""
    from diffusers import DDPMScheduler

    return DDPMScheduler.from_config(base.schedule)


def predict(
    base: DiffusionModel,
    adapter: LayoutControlNet,
    schedule: DDPMScheduler,
    batch: Batch,
    with_adapter: Tensor | None = None,
) -> Prediction:
    """What base and adapter predict of a batch.

    The target is what the base was trained to predict: the noise, or the velocity of Salimans and Ho,
    *Progressive distillation for fast sampling of diffusion models*, 2022, eq. 12 (appendix D).

    Args:
        base, adapter, schedule: the models; gradients flow into parameters that require them.
        batch: samples and noise.
        with_adapter: `bool [B]`, samples that the adapter steers; all where it is None.
    """
    latents, noise, levels = batch.latents, batch.noise, batch.levels
    noisy = schedule.add_noise(latents, noise, levels)
    height, width = (cells * base.stride for cells in latents.shape[2:])
    text = base.embed(batch.captions, height, width) if batch.text is None else batch.text
    residuals = adapter(noisy, levels, text, batch.layout, batch.k)
    if with_adapter is not None:
        mask = with_adapter.to(noisy.dtype).view(-1, 1, 1, 1)
        residuals = tuple(part * mask for part in residuals)
    output = base.denoise(noisy, levels, text, residuals)
    target = schedule.get_velocity(latents, noise, levels) if base.prediction == "v" else noise
    return Prediction(schedule, noisy, levels, output.float(), target.float())


def random_noise(schedule: DDPMScheduler, latents: Tensor) -> tuple[Tensor, Tensor]:
    """Noise of the shape of the latents, and noise levels `int64 [B]`, from torch's generator of their device."""
    noise = torch.randn_like(latents)
    return noise, torch.randint(0, schedule.config.num_train_timesteps, (len(latents),), device=latents.device)
