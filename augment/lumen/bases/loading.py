"""Load a base model of any family."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

from augment.errors import UserError
from augment.loading import load_whole
from augment.lumen import zoo
from augment.lumen.bases.stable_diffusion import StableDiffusion

if TYPE_CHECKING:
    from augment.lumen.bases.base import DiffusionModel


def load_diffusion_model(name: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> DiffusionModel:
    """Load a frozen base model.

    Args:
        name: a model of the zoo (`lumen-tiny`), or any hub id or local folder of a Stable Diffusion model.
        device, dtype: device and precision to run it in. On `meta` no weights are read: it has shapes and no values.

    Raises:
        UserError: it cannot be loaded.
    """
    try:
        with torch.device("meta") if device == "meta" else nullcontext():
            base = _load(name, zoo.source(name), dtype)
    except (OSError, ValueError) as error:
        raise UserError(
            f"base model {name!r} cannot be loaded ({str(error).splitlines()[0]}): give one of "
            f"{zoo.names()}, a folder in diffusers layout or a hub id"
        ) from error
    for part in base.parts.values():
        part.eval().requires_grad_(False).to(device)
    return base


def _load(name: str, source: str, dtype: torch.dtype) -> StableDiffusion:
    from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    vae_config = AutoencoderKL.load_config(source, subfolder="vae")
    vae_class = AutoencoderTiny if vae_config["_class_name"] == "AutoencoderTiny" else AutoencoderKL
    return StableDiffusion(
        name,
        load_whole(vae_class, source, subfolder="vae", torch_dtype=dtype),
        dict(DDIMScheduler.load_config(source, subfolder="scheduler")),
        load_whole(UNet2DConditionModel, source, subfolder="unet", torch_dtype=dtype),
        load_whole(CLIPTextModel, source, subfolder="text_encoder", dtype=dtype),
        CLIPTokenizer.from_pretrained(source, subfolder="tokenizer"),
    )
