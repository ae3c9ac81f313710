"""Load a base model of any family."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Source:
    """Where the parts of a base model are.

    Attributes:
        name: of the base, as it was given.
        place: a folder or hub id.
        revision: commit of a hub id; None is its newest.
    """

    name: str
    place: str
    revision: str | None = None

    def model(self, model_class: Any, part: str, **dtype: torch.dtype) -> Any:
        """A model with all its weights; see `load_whole`."""
        return load_whole(model_class, self.place, subfolder=part, **self._at, **dtype)

    def tokenizer(self, tokenizer_class: Any, part: str) -> Any:
        """A tokenizer."""
        return tokenizer_class.from_pretrained(self.place, subfolder=part, **self._at)

    def config(self, model_class: Any, part: str) -> dict[str, Any]:
        """The configuration of a part."""
        return dict(model_class.load_config(self.place, subfolder=part, **self._at))

    @property
    def _at(self) -> dict[str, Any]:
        return {"revision": self.revision} if self.revision else {}


def load_diffusion_model(
    name: str, device: str = "cpu", dtype: torch.dtype = torch.float32, revision: str | None = None
) -> DiffusionModel:
    """Load a frozen base model.

    Args:
        name: a model of the zoo (`lumen-tiny`), or any hub id or local folder of a model of a family in
            `augment.lumen.bases.families`, in diffusers layout.
        device, dtype: device and precision to run it in. On `meta` no weights are read: it has shapes and no values.
        revision: commit of a hub id; None takes its newest.

    Raises:
        UserError: it cannot be loaded, or is of no such family.
    """
    source = Source(name, zoo.source(name), revision)
    try:
        path = model_file(source.place, "model_index.json", revision)
        if path is None:
            raise UserError(f"base model {name!r}: it has no model_index.json: give a model in diffusers layout")
        index = json.loads(path.read_text(encoding="utf-8"))
        with quiet(), torch.device("meta") if device == "meta" else nullcontext():
            base = LOADERS[family_of(index)](source, index, dtype)
    except (OSError, ValueError) as error:
        raise UserError(
            f"base model {name!r} cannot be loaded ({str(error).splitlines()[0]}): give one of "
            f"{zoo.names()}, a folder in diffusers layout or a hub id"
        ) from error
    for part in base.parts.values():
        part.eval().requires_grad_(False).to(device)
    return base


def _stable_diffusion(source: Source, _index: Index, dtype: torch.dtype) -> StableDiffusion:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    return StableDiffusion(
        source.name,
        *_vae_and_schedule(source, dtype),
        source.model(UNet2DConditionModel, "unet", torch_dtype=dtype),
        source.model(CLIPTextModel, "text_encoder", dtype=dtype),
        source.tokenizer(CLIPTokenizer, "tokenizer"),
    )


def _sdxl(source: Source, _index: Index, dtype: torch.dtype) -> StableDiffusionXL:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    return StableDiffusionXL(
        source.name,
        *_vae_and_schedule(source, dtype),
        source.model(UNet2DConditionModel, "unet", torch_dtype=dtype),
        source.model(CLIPTextModel, "text_encoder", dtype=dtype),
        source.tokenizer(CLIPTokenizer, "tokenizer"),
        source.model(CLIPTextModelWithProjection, "text_encoder_2", dtype=dtype),
        source.tokenizer(CLIPTokenizer, "tokenizer_2"),
    )


def _sd3(source: Source, index: Index, dtype: torch.dtype) -> StableDiffusion3:
    from diffusers import SD3Transformer2DModel
    from transformers import AutoTokenizer, CLIPTextModelWithProjection, CLIPTokenizer, T5EncoderModel

    has_t5 = bool((index.get("text_encoder_3") or [None])[0])
    return StableDiffusion3(
        source.name,
        *_vae_and_schedule(source, dtype),
        source.model(SD3Transformer2DModel, "transformer", torch_dtype=dtype),
        source.model(CLIPTextModelWithProjection, "text_encoder", dtype=dtype),
        source.model(CLIPTextModelWithProjection, "text_encoder_2", dtype=dtype),
        source.model(T5EncoderModel, "text_encoder_3", dtype=dtype) if has_t5 else None,
        source.tokenizer(CLIPTokenizer, "tokenizer"),
        source.tokenizer(CLIPTokenizer, "tokenizer_2"),
        source.tokenizer(AutoTokenizer, "tokenizer_3") if has_t5 else None,
    )


LOADERS: dict[Family, Callable[[Source, Index, torch.dtype], DiffusionModel]] = {
    STABLE_DIFFUSION: _stable_diffusion,
    SDXL: _sdxl,
    SD3: _sd3,
}


def _vae_and_schedule(source: Source, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
    from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler

    kind = source.config(AutoencoderKL, "vae")["_class_name"]
    vae_class = AutoencoderTiny if kind == "AutoencoderTiny" else AutoencoderKL
    vae = source.model(vae_class, "vae", torch_dtype=dtype)
    return vae, source.config(DDIMScheduler, "scheduler")
