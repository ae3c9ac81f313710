"""Base models whose denoising network is the U-Net of Stable Diffusion."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from augment.lumen.adapter import LayoutControlNet
from augment.lumen.bases.base import DiffusionModel, Prediction, Residuals
from augment.lumen.prompt_limit import PromptLimit

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from diffusers import UNet2DConditionModel
    from torch import Tensor

    from augment.lumen.bases.text import Text


@dataclass
class UNetModel(DiffusionModel):
    """A U-Net that predicts noise or velocity, and a CLIP text encoder."""

    unet: UNet2DConditionModel
    text_encoder: torch.nn.Module
    tokenizer: Any

    @property
    @abstractmethod
    def text_encoders(self) -> Mapping[str, torch.nn.Module]:
        """See `DiffusionModel.text_encoders`."""

    @property
    def network(self) -> UNet2DConditionModel:
        """The U-Net."""
        return self.unet

    @property
    def parts(self) -> Mapping[str, torch.nn.Module]:
        """Autoencoder, U-Net and text encoders."""
        return {"vae": self.vae, "unet": self.unet, **self.text_encoders}

    @property
    def prediction(self) -> Prediction:
        """The noise, or the velocity of Salimans and Ho, 2022."""
        return "v" if self.schedule.get("prediction_type") == "v_prediction" else "epsilon"

    @cached_property
    def prompt_limit(self) -> PromptLimit:
        """How long a prompt the first text encoder takes; another takes as much."""
        config: Any = self.text_encoder.config
        return PromptLimit(self.tokenizer, config.max_position_embeddings)

    def denoise(self, latents: Tensor, timesteps: Tensor, text: Text, residuals: Residuals | None = None) -> Tensor:
        """See `DiffusionModel.denoise`; the last residual is that of the middle block."""
        *down, middle = residuals or (None,)
        return self.unet(
            latents,
            timesteps,
            text.embeddings,
            down_block_additional_residuals=down or None,
            mid_block_additional_residual=middle,
            added_cond_kwargs=text.added_conditions,
        ).sample

    def new_adapter(self, num_components: int, hidden_channels: int = 128) -> LayoutControlNet:
        """See `LayoutControlNet.from_base`."""
        return LayoutControlNet.from_base(self.unet, num_components, hidden_channels)
