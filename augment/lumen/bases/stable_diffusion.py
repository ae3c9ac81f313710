"""Stable Diffusion 1.x and 2.x, their fine-tunes and distilled models, such as SD-Turbo."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from augment.lumen.adapter import LayoutControlNet
from augment.lumen.bases.base import DiffusionModel, Prediction, Residuals, diffusion_prediction
from augment.lumen.bases.text import Text
from augment.lumen.prompt_limit import PromptLimit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from diffusers import ControlNetModel, DiffusionPipeline, UNet2DConditionModel
    from torch import Tensor


@dataclass
class StableDiffusion(DiffusionModel):
    """A U-Net that reads the last hidden states of one CLIP text encoder."""

    pipeline_class = "StableDiffusionControlNetPipeline"

    unet: UNet2DConditionModel
    text_encoder: torch.nn.Module
    tokenizer: Any

    @property
    def network(self) -> UNet2DConditionModel:
        """The U-Net."""
        return self.unet

    @property
    def text_encoders(self) -> Mapping[str, torch.nn.Module]:
        """The one text encoder."""
        return {"text_encoder": self.text_encoder}

    @property
    def parts(self) -> Mapping[str, torch.nn.Module]:
        """Autoencoder, U-Net, text encoder."""
        return {"vae": self.vae, "unet": self.unet, **self.text_encoders}

    @property
    def prediction(self) -> Prediction:
        """The noise or the velocity of Salimans and Ho, 2022."""
        return diffusion_prediction(self.schedule)

    @cached_property
    def prompt_limit(self) -> PromptLimit:
        """How long a prompt the text encoder takes."""
        config: Any = self.text_encoder.config
        return PromptLimit(self.tokenizer, config.max_position_embeddings)

    def tokens(self, prompts: Sequence[str]) -> Tensor:
        """Token ids `int64 [B, L]`, padded to the length of the text encoder.

        Raises:
            UserError: a prompt is longer than that.
        """
        self.require_short(prompts)
        length = self.prompt_limit.length
        batch = self.tokenizer(list(prompts), padding="max_length", max_length=length, return_tensors="pt")
        return batch.input_ids.to(self.device)

    def embed(self, prompts: Sequence[str], height: int, width: int) -> Text:  # noqa: ARG002 - see `DiffusionModel`
        """The last hidden states of the text encoder; sizes are not looked at."""
        return Text(self.text_encoder(self.tokens(prompts))[0])

    def denoise(self, latents: Tensor, timesteps: Tensor, text: Text, residuals: Residuals | None = None) -> Tensor:
        """See `DiffusionModel.denoise`; the last residual is that of the middle block."""
        *down, middle = residuals or (None,)
        return self.unet(
            latents,
            timesteps,
            text.embeddings,
            down_block_additional_residuals=down or None,
            mid_block_additional_residual=middle,
        ).sample

    def new_adapter(self, num_components: int, hidden_channels: int = 128) -> LayoutControlNet:
        """See `LayoutControlNet.from_base`."""
        return LayoutControlNet.from_base(self.unet, num_components, hidden_channels)

    def pipeline(self, controlnet: ControlNetModel) -> DiffusionPipeline:
        """See `DiffusionModel.pipeline`."""
        from diffusers import DDIMScheduler, StableDiffusionControlNetPipeline

        return StableDiffusionControlNetPipeline(
            vae=self.vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            unet=self.unet,
            controlnet=controlnet,
            scheduler=DDIMScheduler.from_config(self.schedule, clip_sample=False),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )

    def save(self, folder: Path, dtype: torch.dtype = torch.float16) -> None:
        """Write the model to `folder` as diffusers lays out a Stable Diffusion pipeline, weights in `dtype`."""
        from diffusers import DDIMScheduler, StableDiffusionPipeline

        pipeline = StableDiffusionPipeline(
            vae=self.vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            unet=self.unet,
            scheduler=DDIMScheduler.from_config(self.schedule),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        kept = next(self.unet.parameters()).dtype
        pipeline.to(dtype).save_pretrained(folder)
        pipeline.to(kept)
        for path in folder.glob("*/config.json"):
            # diffusers records the folder that a part was loaded from, which means nothing on another machine.
            facts = json.loads(path.read_text())
            facts.pop("_name_or_path", None)
            path.write_text(json.dumps(facts, indent=2) + "\n")
