"""Load a base model of any family."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

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


def load_diffusion_model(
    name: str,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    network: torch.dtype | Literal["shapes"] | None = None,
    revision: str | None = None,
) -> DiffusionModel:
    """Load a frozen base model: each part on the CPU in its precision, and then to the device at once.

    Args:
        name: a model of the zoo (`lumen-tiny`), or any hub id or local folder of a model of a family in
            `augment.lumen.bases.families`, in diffusers layout.
        device, dtype: device and precision to run it in. On `meta` no weights are read: it has shapes and no values.
        network: precision of the network that denoises, where it is another one. `shapes` is for those who only encode
            and embed: its weights are not read, and it stays on `meta`.
        revision: commit of a hub id; None takes its newest.

    Raises:
        UserError: it cannot be loaded, or is of no such family.
    """
    source = zoo.source(name)
    try:
        path = model_file(source, "model_index.json", revision)
        if path is None:
            raise UserError(f"base model {name!r}: it has no model_index.json: give a model in diffusers layout")
        index = json.loads(path.read_text(encoding="utf-8"))
        with quiet(), torch.device("meta") if device == "meta" else nullcontext():
            base = LOADERS[family_of(index)](name, Source(source, index, dtype, network or dtype, revision))
    except (OSError, ValueError) as error:
        raise cannot_load(name, error) from error
    for part in base.parts.values():
        part.eval().requires_grad_(False)
    return base.to(device)


def cannot_load(name: str, error: Exception) -> UserError:
    """What a user reads where a base model cannot be loaded."""
    return UserError(
        f"base model {name!r} cannot be loaded ({str(error).splitlines()[0]}): give one of "
        f"{zoo.names()}, a folder in diffusers layout or a hub id"
    )


@dataclass(frozen=True)
class Source:
    """Where the parts of a base model are.

    Attributes:
        folder: local folder or hub id.
        index: its `model_index.json`.
        dtype: precision of all parts but the network.
        network_dtype: that of the network, or `shapes`.
        revision: commit of a hub id; None is its newest.
    """

    folder: str
    index: Index
    dtype: torch.dtype
    network_dtype: torch.dtype | Literal["shapes"]
    revision: str | None = None

    def has(self, part: str) -> bool:
        """Whether the model has a part that its family may lack."""
        return bool((self.index.get(part) or [None])[0])

    def text_encoder(self, kind: Any, part: str = "text_encoder") -> Any:
        """A text encoder of a class of transformers."""
        return load_whole(kind, self.folder, **self._at(part), dtype=self.dtype)

    def tokenizer(self, kind: Any, part: str = "tokenizer") -> Any:
        """A tokenizer of a class of transformers."""
        return kind.from_pretrained(self.folder, **self._at(part))

    def network(self, kind: Any, part: str) -> Any:
        """The network, of a class of diffusers."""
        if self.network_dtype != "shapes":
            # Without accelerate, diffusers loads some transformers in the precision of the file.
            return load_whole(kind, self.folder, **self._at(part), torch_dtype=self.network_dtype).to(
                self.network_dtype
            )
        with torch.device("meta"):
            return load_whole(kind, self.folder, **self._at(part), torch_dtype=self.dtype)

    def vae_and_schedule(self) -> tuple[Any, dict[str, Any]]:
        """The autoencoder, and the configuration of the noise schedule."""
        from diffusers import DDIMScheduler

        return self.vae(), dict(DDIMScheduler.load_config(self.folder, **self._at("scheduler")))

    def vae(self) -> Any:
        """The autoencoder."""
        from diffusers import AutoencoderKL, AutoencoderTiny

        kind = AutoencoderKL.load_config(self.folder, **self._at("vae"))["_class_name"]
        vae_class = AutoencoderTiny if kind == "AutoencoderTiny" else AutoencoderKL
        return load_whole(vae_class, self.folder, **self._at("vae"), torch_dtype=self.dtype)

    def _at(self, part: str) -> dict[str, Any]:
        return {"subfolder": part, **({"revision": self.revision} if self.revision else {})}


def _stable_diffusion(name: str, source: Source) -> StableDiffusion:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    return StableDiffusion(
        name,
        *source.vae_and_schedule(),
        source.network(UNet2DConditionModel, "unet"),
        source.text_encoder(CLIPTextModel),
        source.tokenizer(CLIPTokenizer),
    )


def _sdxl(name: str, source: Source) -> StableDiffusionXL:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    return StableDiffusionXL(
        name,
        *source.vae_and_schedule(),
        source.network(UNet2DConditionModel, "unet"),
        source.text_encoder(CLIPTextModel),
        source.tokenizer(CLIPTokenizer),
        source.text_encoder(CLIPTextModelWithProjection, "text_encoder_2"),
        source.tokenizer(CLIPTokenizer, "tokenizer_2"),
    )


def _sd3(name: str, source: Source) -> StableDiffusion3:
    from diffusers import SD3Transformer2DModel
    from transformers import AutoTokenizer, CLIPTextModelWithProjection, CLIPTokenizer, T5EncoderModel

    has_t5 = source.has("text_encoder_3")
    return StableDiffusion3(
        name,
        *source.vae_and_schedule(),
        source.network(SD3Transformer2DModel, "transformer"),
        source.text_encoder(CLIPTextModelWithProjection),
        source.text_encoder(CLIPTextModelWithProjection, "text_encoder_2"),
        source.text_encoder(T5EncoderModel, "text_encoder_3") if has_t5 else None,
        source.tokenizer(CLIPTokenizer),
        source.tokenizer(CLIPTokenizer, "tokenizer_2"),
        source.tokenizer(AutoTokenizer, "tokenizer_3") if has_t5 else None,
    )


LOADERS: dict[Family, Callable[[str, Source], DiffusionModel]] = {
    STABLE_DIFFUSION: _stable_diffusion,
    SDXL: _sdxl,
    SD3: _sd3,
}
