"""The frozen text-to-image latent diffusion model under a layout adapter."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from augment.backbones.encoder import weights_digest
from augment.errors import UserError, require_finite
from augment.loading import load_whole
from augment.lumen import zoo
from augment.lumen.grids import to_pixels, to_unit
from augment.lumen.prompt_limit import PromptLimit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
    from numpy.typing import NDArray


@dataclass
class DiffusionModel:
    """Autoencoder, U-Net, text encoder and noise schedule of a latent diffusion model, in the names of diffusers.

    Attributes:
        name: the name it was loaded by.
        schedule: configuration of its noise schedule, for any diffusers scheduler's `from_config`.
    """

    name: str
    vae: AutoencoderKL | AutoencoderTiny
    unet: UNet2DConditionModel
    text_encoder: torch.nn.Module
    tokenizer: Any
    schedule: dict[str, Any]

    @property
    def device(self) -> torch.device:
        """Device that the model is on."""
        return self.unet.device

    @property
    def stride(self) -> int:
        """Pixels of the image that one latent cell covers."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def encode(self, images: NDArray[np.uint8]) -> torch.Tensor:
        """Encode `uint8 [B, H, W, 3]` into latents `float32 [B, C, H / stride, W / stride]` of about unit variance.

        Raises:
            NotFinite: the latents hold NaN or infinite values.
        """
        return self.encode_pixels(to_unit(images).to(self.device))

    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """The same of pixels `float [B, 3, H, W]` in -1..1 on the device of the model."""
        encoded = self.vae.encode(pixels.to(self.vae.dtype))
        mode = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        latents = (mode.float() - (self.vae.config.shift_factor or 0.0)) * self.vae.config.scaling_factor
        return require_finite(latents, f"the latents that {self.name!r} encodes images into")

    def decode(self, latents: torch.Tensor) -> NDArray[np.uint8]:
        """Decode what `encode` gives into images `uint8 [B, H, W, 3]`.

        Raises:
            NotFinite: latents or images hold NaN or infinite values.
        """
        return to_pixels(self.decode_pixels(require_finite(latents, "the latents")))

    def decode_pixels(self, latents: torch.Tensor) -> torch.Tensor:
        """The same as pixels `float [B, 3, H, W]`, about -1..1; gradients flow."""
        unscaled = latents / self.vae.config.scaling_factor + (self.vae.config.shift_factor or 0.0)
        decoded: torch.Tensor = self.vae.decode(unscaled.to(self.vae.dtype)).sample
        return decoded

    @cached_property
    def prompt_limit(self) -> PromptLimit:
        """How long a prompt the text encoder takes."""
        config: Any = self.text_encoder.config
        return PromptLimit(self.tokenizer, config.max_position_embeddings)

    def tokens(self, prompts: Sequence[str]) -> torch.Tensor:
        """Token ids `int64 [B, L]`, padded to the length of the text encoder.

        Raises:
            UserError: a prompt is longer than that; see `PromptLimit.fit`.
        """
        limit = self.prompt_limit
        for prompt in prompts:
            if not limit.fits(prompt):
                raise UserError(
                    f"prompt {prompt!r} has {limit.count(prompt)} tokens, and the text encoder of {self.name!r} takes "
                    f"{limit.length}: shorten it"
                )
        batch = self.tokenizer(list(prompts), padding="max_length", max_length=limit.length, return_tensors="pt")
        return batch.input_ids.to(self.device)

    def embed(self, prompts: Sequence[str]) -> torch.Tensor:
        """Text embeddings `[B, L, D]` for the U-Net's cross-attention."""
        return self.text_encoder(self.tokens(prompts))[0]

    def digest(self) -> str:
        """SHA-256 in hex over all weights."""
        parts = torch.nn.ModuleDict({"vae": self.vae, "unet": self.unet, "text_encoder": self.text_encoder})
        return weights_digest(parts)

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


def load_diffusion_model(name: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> DiffusionModel:
    """Load a frozen base model.

    Args:
        name: a model of the zoo (`lumen-tiny`), or any hub id or local folder of a Stable Diffusion model.
        device, dtype: device and precision to run it in.

    Raises:
        UserError: it cannot be loaded.
    """
    from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    source = zoo.source(name)
    try:
        vae_config = AutoencoderKL.load_config(source, subfolder="vae")
        vae_class = AutoencoderTiny if vae_config["_class_name"] == "AutoencoderTiny" else AutoencoderKL
        vae = load_whole(vae_class, source, subfolder="vae", torch_dtype=dtype)
        unet = load_whole(UNet2DConditionModel, source, subfolder="unet", torch_dtype=dtype)
        text_encoder = load_whole(CLIPTextModel, source, subfolder="text_encoder", dtype=dtype)
        tokenizer = CLIPTokenizer.from_pretrained(source, subfolder="tokenizer")
        schedule = DDIMScheduler.load_config(source, subfolder="scheduler")
    except (OSError, ValueError) as error:
        raise UserError(
            f"base model {name!r} cannot be loaded ({str(error).splitlines()[0]}): give one of "
            f"{zoo.names()}, a folder in diffusers layout or a hub id"
        ) from error
    for part in (vae, unet, text_encoder):
        part.eval().requires_grad_(False).to(device)
    return DiffusionModel(name, vae, unet, text_encoder, tokenizer, dict(schedule))


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Mixed precision for `bf16`, nothing for `fp32`."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()
