"""The noise that a base model was trained with: how much there is at each level, and what is predicted of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from augment.lumen.bases.base import DiffusionModel


class NoiseSchedule(ABC):
    """Noise levels `0..count - 1`, from little to most; all arguments are on one device.

    Attributes:
        count: number of levels.
    """

    count: int

    @abstractmethod
    def timesteps(self, levels: Tensor) -> Tensor:
        """The timesteps `[B]` that the network is given at levels `int64 [B]`."""

    @abstractmethod
    def add_noise(self, latents: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """Clean latents `[B, C, h, w]` with noise of the same shape at levels `int64 [B]`."""

    @abstractmethod
    def target(self, latents: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """What the network is to predict of them, `[B, C, h, w]`."""

    @abstractmethod
    def clean(self, noisy: Tensor, output: Tensor, levels: Tensor) -> Tensor:
        """The clean latents `[B, C, h, w]` that a prediction implies in one step.

        Without any signal, noise says nothing of the clean latents: there, a prediction of the noise gives zeros.
        """

    @abstractmethod
    def error_scale(self, levels: Tensor) -> Tensor:
        """`float32 [B]`: the squared error of the clean latents for one of the prediction, times signal / noise."""

    @abstractmethod
    def signal(self, levels: Tensor) -> Tensor:
        """Share of the signal in the variance of the noisy latents, `float32 [B]` in 0..1."""


class DiffusionNoise(NoiseSchedule):
    """The noise of a diffusion; the network predicts it, or the velocity.

    The velocity is that of Salimans and Ho, *Progressive distillation for fast sampling of diffusion models*, 2022,
    eq. 12 (appendix D).
    """

    def __init__(self, schedule: Mapping[str, Any]) -> None:
        from diffusers import DDPMScheduler

        self._scheduler = DDPMScheduler.from_config(dict(schedule))
        self._velocity = self._scheduler.config.prediction_type == "v_prediction"
        self.count = int(self._scheduler.config.num_train_timesteps)

    def timesteps(self, levels: Tensor) -> Tensor:
        """The levels themselves."""
        return levels

    def add_noise(self, latents: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """See `NoiseSchedule.add_noise`."""
        return self._scheduler.add_noise(latents, noise, levels)

    def target(self, latents: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """The noise, or the velocity."""
        return self._scheduler.get_velocity(latents, noise, levels) if self._velocity else noise

    def clean(self, noisy: Tensor, output: Tensor, levels: Tensor) -> Tensor:
        """See `NoiseSchedule.clean`."""
        signal = self.signal(levels).view(-1, 1, 1, 1)
        if self._velocity:
            return signal.sqrt() * noisy - (1 - signal).sqrt() * output
        estimate = (noisy - (1 - signal).sqrt() * output) / signal.sqrt().clamp(min=1e-4)
        return torch.where(signal > 0, estimate, torch.zeros_like(estimate))

    def error_scale(self, levels: Tensor) -> Tensor:
        """1 for the noise, and the share of the signal for the velocity."""
        signal = self.signal(levels)
        return signal if self._velocity else torch.ones_like(signal)

    def signal(self, levels: Tensor) -> Tensor:
        """See `NoiseSchedule.signal`."""
        return self._scheduler.alphas_cumprod.to(levels.device)[levels].float()


class FlowNoise(NoiseSchedule):
    """The straight path of flow matching from an image to noise; the network predicts its velocity, noise - latents.

    Lipman et al., *Flow matching for generative modeling*, 2023, and Esser et al., *Scaling rectified flow transformers
    for high-resolution image synthesis*, 2024.
    """

    def __init__(self, schedule: Mapping[str, Any]) -> None:
        from diffusers import FlowMatchEulerDiscreteScheduler

        scheduler = FlowMatchEulerDiscreteScheduler.from_config(dict(schedule))
        # It lists its levels from most noise to least.
        self._shares, self._timesteps = scheduler.sigmas.flip(0), scheduler.timesteps.flip(0)
        self.count = len(self._timesteps)

    def timesteps(self, levels: Tensor) -> Tensor:
        """Shares of noise times the number of training timesteps, `float32 [B]`."""
        return self._timesteps.to(levels.device)[levels]

    def add_noise(self, latents: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """See `NoiseSchedule.add_noise`."""
        share = self._share(levels).to(latents.dtype)
        return (1 - share) * latents + share * noise

    def target(self, latents: Tensor, noise: Tensor, levels: Tensor) -> Tensor:  # noqa: ARG002 - it is the same at all
        """The velocity."""
        return noise - latents

    def clean(self, noisy: Tensor, output: Tensor, levels: Tensor) -> Tensor:
        """See `NoiseSchedule.clean`."""
        return noisy - self._share(levels) * output

    def error_scale(self, levels: Tensor) -> Tensor:
        """The square of what is left of the latents."""
        return (1 - self._share(levels).flatten()) ** 2

    def signal(self, levels: Tensor) -> Tensor:
        """See `NoiseSchedule.signal`."""
        share = self._share(levels).flatten()
        return (1 - share) ** 2 / ((1 - share) ** 2 + share**2)

    def _share(self, levels: Tensor) -> Tensor:
        return self._shares.to(levels.device)[levels].view(-1, 1, 1, 1)


def noise_schedule(base: DiffusionModel) -> NoiseSchedule:
    """The noise that a base model was trained with."""
    return FlowNoise(base.schedule) if base.prediction == "flow" else DiffusionNoise(base.schedule)
