"""Stable Diffusion 1.x and 2.x, their fine-tunes and distilled models, such as SD-Turbo."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from augment.lumen.bases.clip import clip_tokens
from augment.lumen.bases.text import Text
from augment.lumen.bases.unet import UNetModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from diffusers import ControlNetModel, DiffusionPipeline


@dataclass
class StableDiffusion(UNetModel):
    """A U-Net that reads the last hidden states of one CLIP text encoder."""

    pipeline_class = "StableDiffusionControlNetPipeline"

    @property
    def text_encoders(self) -> Mapping[str, torch.nn.Module]:
        """The one text encoder."""
        return {"text_encoder": self.text_encoder}

    def embed(self, prompts: Sequence[str], height: int, width: int) -> Text:  # noqa: ARG002 - see `DiffusionModel`
        """The last hidden states of the text encoder; sizes are not looked at."""
        self.require_short(prompts)
        return Text(self.text_encoder(clip_tokens(self.tokenizer, prompts, self.prompt_limit.length, self.device))[0])

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
