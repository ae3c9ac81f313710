"""Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from augment.errors import UserError
from augment.lumen.bases.base import DiffusionModel, Prediction, Residuals
from augment.lumen.bases.clip import clip_tokens
from augment.lumen.bases.text import Text
from augment.lumen.prompt_limit import PromptLimit
from augment.lumen.sd3_adapter import LayoutSD3ControlNet
from augment.lumen.transfer import uploaded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from diffusers import ControlNetModel, DiffusionPipeline, SD3Transformer2DModel
    from torch import Tensor

# Tokens of T5, as the pipeline of diffusers has them.
T5_LENGTH = 256


@dataclass
class StableDiffusion3(DiffusionModel):
    """A transformer over patches that predicts the velocity of a flow, two CLIP text encoders, and T5.

    T5 may be missing: zeros stand in for its text, as in training, where it was left out for a share of the samples.
    """

    pipeline_class = "StableDiffusion3ControlNetPipeline"

    transformer: SD3Transformer2DModel
    text_encoder: torch.nn.Module
    text_encoder_2: torch.nn.Module
    text_encoder_3: torch.nn.Module | None
    tokenizer: Any
    tokenizer_2: Any
    tokenizer_3: Any

    @property
    def network(self) -> SD3Transformer2DModel:
        """The transformer."""
        return self.transformer

    @property
    def text_encoders(self) -> Mapping[str, torch.nn.Module]:
        """Those that there are."""
        third = {} if self.text_encoder_3 is None else {"text_encoder_3": self.text_encoder_3}
        return {"text_encoder": self.text_encoder, "text_encoder_2": self.text_encoder_2, **third}

    @property
    def parts(self) -> Mapping[str, torch.nn.Module]:
        """Autoencoder, transformer and text encoders."""
        return {"vae": self.vae, "transformer": self.transformer, **self.text_encoders}

    @property
    def prediction(self) -> Prediction:
        """The velocity of the flow from an image to noise."""
        return "flow"

    @property
    def size_multiple(self) -> int:
        """A patch of latent cells."""
        return self.stride * int(self.transformer.config.patch_size)

    @cached_property
    def prompt_limit(self) -> PromptLimit:
        """How long a prompt the CLIP text encoders take; T5 takes more."""
        config: Any = self.text_encoder.config
        return PromptLimit(self.tokenizer, config.max_position_embeddings)

    def embed(self, prompts: Sequence[str], height: int, width: int) -> Text:  # noqa: ARG002 - see `DiffusionModel`
        """Hidden states of CLIP, side by side and padded with zeros, then those of T5; sizes are not looked at."""
        self.require_short(prompts)
        length = self.prompt_limit.length
        outputs = [
            encoder(clip_tokens(tokenizer, prompts, length, self.device), output_hidden_states=True)
            for encoder, tokenizer in (
                (self.text_encoder, self.tokenizer),
                (self.text_encoder_2, self.tokenizer_2),
            )
        ]
        clip = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        last = self._embed_t5(prompts, clip.dtype)
        embeddings = torch.cat([F.pad(clip, (0, last.shape[-1] - clip.shape[-1])), last], dim=1)
        return Text(embeddings, torch.cat([output.text_embeds for output in outputs], dim=-1))

    def _embed_t5(self, prompts: Sequence[str], dtype: torch.dtype) -> Tensor:
        if self.text_encoder_3 is None:
            shape = (len(prompts), T5_LENGTH, self.transformer.config.joint_attention_dim)
            return torch.zeros(shape, dtype=dtype, device=self.device)
        tokens = self.tokenizer_3(list(prompts), padding="max_length", max_length=T5_LENGTH, return_tensors="pt")
        if tokens.input_ids.shape[1] > T5_LENGTH:
            raise UserError(f"a prompt has more than the {T5_LENGTH} tokens that T5 of {self.name!r} takes: shorten it")
        return self.text_encoder_3(uploaded(tokens.input_ids, self.device))[0]

    def denoise(self, latents: Tensor, timesteps: Tensor, text: Text, residuals: Residuals | None = None) -> Tensor:
        """See `DiffusionModel.denoise`; the residuals are spread evenly over the blocks of the transformer."""
        return self.transformer(
            hidden_states=latents,
            timestep=timesteps,
            encoder_hidden_states=text.embeddings,
            pooled_projections=text.pooled,
            block_controlnet_hidden_states=residuals,
        ).sample

    def new_adapter(self, num_components: int, hidden_channels: int = 128) -> LayoutSD3ControlNet:
        """See `LayoutSD3ControlNet.from_base`."""
        return LayoutSD3ControlNet.from_base(self.transformer, num_components, hidden_channels)

    def pipeline(self, controlnet: ControlNetModel) -> DiffusionPipeline:
        """See `DiffusionModel.pipeline`."""
        from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3ControlNetPipeline

        return StableDiffusion3ControlNetPipeline(
            transformer=self.transformer,
            scheduler=FlowMatchEulerDiscreteScheduler.from_config(self.schedule),
            vae=self.vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            text_encoder_2=self.text_encoder_2,
            tokenizer_2=self.tokenizer_2,
            text_encoder_3=self.text_encoder_3,
            tokenizer_3=self.tokenizer_3,
            controlnet=controlnet,
        )
