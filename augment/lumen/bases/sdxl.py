"""SDXL and its fine-tunes and distilled models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from augment.lumen.bases.clip import clip_tokens
from augment.lumen.bases.text import Text
from augment.lumen.bases.unet import UNetModel
from augment.lumen.transfer import uploaded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from diffusers import ControlNetModel, DiffusionPipeline


@dataclass
class StableDiffusionXL(UNetModel):
    """A U-Net that reads two CLIP text encoders, the pooled text of the second, and the sizes of the image."""

    pipeline_class = "StableDiffusionXLControlNetPipeline"

    text_encoder_2: torch.nn.Module
    tokenizer_2: Any

    @property
    def text_encoders(self) -> Mapping[str, torch.nn.Module]:
        """Both text encoders."""
        return {"text_encoder": self.text_encoder, "text_encoder_2": self.text_encoder_2}

    def embed(self, prompts: Sequence[str], height: int, width: int) -> Text:
        """The last hidden states but one of both text encoders, side by side.

        The image is said to be whole and of its own size: height and width of original and target, and a crop at 0, 0
        (Podell et al., *SDXL: Improving latent diffusion models for high-resolution image synthesis*, 2023, sec. 2.2).
        """
        self.require_short(prompts)
        length = self.prompt_limit.length
        first = self.text_encoder(clip_tokens(self.tokenizer, prompts, length, self.device), output_hidden_states=True)
        tokens = clip_tokens(self.tokenizer_2, prompts, length, self.device)
        second = self.text_encoder_2(tokens, output_hidden_states=True)
        embeddings = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        sizes = uploaded(torch.tensor([height, width, 0, 0, height, width], dtype=torch.float32), self.device)
        return Text(embeddings, second.text_embeds, sizes.expand(len(prompts), -1))

    def pipeline(self, controlnet: ControlNetModel) -> DiffusionPipeline:
        """See `DiffusionModel.pipeline`."""
        from diffusers import DDIMScheduler, StableDiffusionXLControlNetPipeline

        return StableDiffusionXLControlNetPipeline(
            vae=self.vae,
            text_encoder=self.text_encoder,
            text_encoder_2=self.text_encoder_2,
            tokenizer=self.tokenizer,
            tokenizer_2=self.tokenizer_2,
            unet=self.unet,
            controlnet=controlnet,
            scheduler=DDIMScheduler.from_config(self.schedule, clip_sample=False),
            force_zeros_for_empty_prompt=False,
            add_watermarker=False,
        )
