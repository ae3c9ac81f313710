"""Load a base model of any family."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from augment.errors import UserError
from augment.loading import load_whole, model_file, quiet
from augment.lumen import zoo
from augment.lumen.bases.families import SD3, SDXL, STABLE_DIFFUSION, Family, family_of
from augment.lumen.bases.sdxl import StableDiffusionXL
from augment.lumen.bases.stable_diffusion import StableDiffusion
from augment.lumen.bases.stable_diffusion_3 import StableDiffusion3

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from augment.lumen.bases.base import DiffusionModel

    Index = Mapping[str, Any]


def load_diffusion_model(name: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> DiffusionModel:
    """Load a frozen base model.

    Args:
        name: a model of the zoo (`lumen-tiny`), or any hub id or local folder of a model of a family in
            `augment.lumen.bases.families`, in diffusers layout.
        device, dtype: device and precision to run it in. On `meta` no weights are read: it has shapes and no values.

    Raises:
        UserError: it cannot be loaded, or is of no such family.
    """
    source = zoo.source(name)
    try:
        path = model_file(source, "model_index.json")
        if path is None:
            raise UserError(f"base model {name!r}: it has no model_index.json: give a model in diffusers layout")
        index = json.loads(path.read_text(encoding="utf-8"))
        with quiet(), torch.device("meta") if device == "meta" else nullcontext():
            base = LOADERS[family_of(index)](name, source, index, dtype)
    except (OSError, ValueError) as error:
        raise UserError(
            f"base model {name!r} cannot be loaded ({str(error).splitlines()[0]}): give one of "
            f"{zoo.names()}, a folder in diffusers layout or a hub id"
        ) from error
    for part in base.parts.values():
        part.eval().requires_grad_(False).to(device)
    return base


def _stable_diffusion(name: str, source: str, _index: Index, dtype: torch.dtype) -> StableDiffusion:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    return StableDiffusion(
        name,
        *_vae_and_schedule(source, dtype),
        load_whole(UNet2DConditionModel, source, subfolder="unet", torch_dtype=dtype),
        load_whole(CLIPTextModel, source, subfolder="text_encoder", dtype=dtype),
        CLIPTokenizer.from_pretrained(source, subfolder="tokenizer"),
    )


def _sdxl(name: str, source: str, _index: Index, dtype: torch.dtype) -> StableDiffusionXL:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    return StableDiffusionXL(
        name,
        *_vae_and_schedule(source, dtype),
        load_whole(UNet2DConditionModel, source, subfolder="unet", torch_dtype=dtype),
        load_whole(CLIPTextModel, source, subfolder="text_encoder", dtype=dtype),
        CLIPTokenizer.from_pretrained(source, subfolder="tokenizer"),
        load_whole(CLIPTextModelWithProjection, source, subfolder="text_encoder_2", dtype=dtype),
        CLIPTokenizer.from_pretrained(source, subfolder="tokenizer_2"),
    )


def _sd3(name: str, source: str, index: Index, dtype: torch.dtype) -> StableDiffusion3:
    from diffusers import SD3Transformer2DModel
    from transformers import AutoTokenizer, CLIPTextModelWithProjection, CLIPTokenizer, T5EncoderModel

    has_t5 = bool((index.get("text_encoder_3") or [None])[0])
    return StableDiffusion3(
        name,
        *_vae_and_schedule(source, dtype),
        load_whole(SD3Transformer2DModel, source, subfolder="transformer", torch_dtype=dtype),
        load_whole(CLIPTextModelWithProjection, source, subfolder="text_encoder", dtype=dtype),
        load_whole(CLIPTextModelWithProjection, source, subfolder="text_encoder_2", dtype=dtype),
        load_whole(T5EncoderModel, source, subfolder="text_encoder_3", dtype=dtype) if has_t5 else None,
        CLIPTokenizer.from_pretrained(source, subfolder="tokenizer"),
        CLIPTokenizer.from_pretrained(source, subfolder="tokenizer_2"),
        AutoTokenizer.from_pretrained(source, subfolder="tokenizer_3") if has_t5 else None,
    )


LOADERS: dict[Family, Callable[[str, str, Index, torch.dtype], DiffusionModel]] = {
    STABLE_DIFFUSION: _stable_diffusion,
    SDXL: _sdxl,
    SD3: _sd3,
}


def _vae_and_schedule(source: str, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
    from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler

    kind = AutoencoderKL.load_config(source, subfolder="vae")["_class_name"]
    vae_class = AutoencoderTiny if kind == "AutoencoderTiny" else AutoencoderKL
    vae = load_whole(vae_class, source, subfolder="vae", torch_dtype=dtype)
    return vae, dict(DDIMScheduler.load_config(source, subfolder="scheduler"))
