"""The interface of a frozen text-to-image latent diffusion model under a layout adapter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch

from augment.backbones.encoder import weights_digest
from augment.errors import UserError, require_finite
from augment.lumen.grids import to_pixels, to_unit
from augment.lumen.prompt_limit import PromptLimit

if TYPE_CHECKING:
    import numpy as np
    from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, DiffusionPipeline
    from numpy.typing import NDArray
    from torch import Tensor
    from typing_extensions import Self

    from augment.lumen.adapter import Adapter
    from augment.lumen.bases.text import Text

Prediction = Literal["epsilon", "v", "flow"]
# Added to the activations of the base by an adapter, in the order of its blocks.
Residuals = tuple[torch.Tensor, ...]


@dataclass
class DiffusionModel(ABC):
    """Autoencoder, denoising network, text encoders and noise schedule of a latent diffusion model.

    A family of base models is a subclass. Nothing outside of its file reads the parts of a model by their names.

    Attributes:
        name: the name it was loaded by.
        vae: the autoencoder.
        schedule: configuration of its noise schedule, for the `from_config` of the diffusers schedulers of its kind.
    """

    pipeline_class: ClassVar[str]
    """Name of the diffusers pipeline of this family with a ControlNet."""

    name: str
    vae: AutoencoderKL | AutoencoderTiny
    schedule: dict[str, Any]

    @property
    @abstractmethod
    def network(self) -> torch.nn.Module:
        """The network that denoises."""

    @property
    @abstractmethod
    def text_encoders(self) -> Mapping[str, torch.nn.Module]:
        """Name in the pipeline of diffusers -> text encoder."""

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, torch.nn.Module]:
        """Name in the pipeline of diffusers -> each part that has weights."""

    @property
    @abstractmethod
    def prediction(self) -> Prediction:
        """What the network predicts: the noise, the velocity of a diffusion, or that of a flow."""

    @cached_property
    @abstractmethod
    def prompt_limit(self) -> PromptLimit:
        """How long a prompt the text encoders take."""

    @abstractmethod
    def embed(self, prompts: Sequence[str], height: int, width: int) -> Text:
        """Embed prompts for images of a height and width in pixels.

        Raises:
            UserError: a prompt is longer than the text encoders take; see `PromptLimit.fit`.
        """

    @abstractmethod
    def denoise(self, latents: Tensor, timesteps: Tensor, text: Text, residuals: Residuals | None = None) -> Tensor:
        """The prediction of the network, of the shape of the latents.

        Args:
            latents: noisy latents `[B, C, h, w]`.
            timesteps: `[B]`, those of the schedule.
            text: B prompts.
            residuals: of an adapter; None denoises without one.
        """

    @abstractmethod
    def new_adapter(self, num_components: int, hidden_channels: int = 128) -> Adapter:
        """An untrained adapter for this base, which adds nothing to it yet.

        Args:
            num_components: components of a layout that it reads.
            hidden_channels: width of its layout encoder.
        """

    @abstractmethod
    def pipeline(self, controlnet: ControlNetModel) -> DiffusionPipeline:
        """The pipeline of diffusers, of `pipeline_class`, with these parts and a ControlNet."""

    @property
    def device(self) -> torch.device:
        """Device that the model is on, the network of a model that only encodes and embeds aside."""
        return next(self.vae.parameters()).device

    def to(self, device: str) -> Self:
        """Move all parts that have values to a device."""
        for part in self.parts.values():
            if device == "meta" or not next(part.parameters()).is_meta:
                part.to(device)
        return self

    @property
    def stride(self) -> int:
        """Pixels of the image that one latent cell covers."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def size_multiple(self) -> int:
        """Height and width of an image in pixels are multiples of this."""
        return self.stride

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return int(self.vae.config.latent_channels)

    def encode(self, images: NDArray[np.uint8]) -> Tensor:
        """Encode `uint8 [B, H, W, 3]` into latents `float32 [B, C, H / stride, W / stride]` of about unit variance.

        Raises:
            NotFinite: the latents hold NaN or infinite values.
        """
        return self.encode_pixels(to_unit(images).to(self.device))

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """The same of pixels `float [B, 3, H, W]` in -1..1 on the device of the model."""
        encoded = self.vae.encode(pixels.to(self.vae.dtype))
        mode = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        latents = (mode.float() - (self.vae.config.shift_factor or 0.0)) * self.vae.config.scaling_factor
        return require_finite(latents, f"the latents that {self.name!r} encodes images into")

    def decode(self, latents: Tensor) -> NDArray[np.uint8]:
        """Decode what `encode` gives into images `uint8 [B, H, W, 3]`.

        Raises:
            NotFinite: latents or images hold NaN or infinite values.
        """
        return to_pixels(self.decode_pixels(require_finite(latents, "the latents")))

    def decode_pixels(self, latents: Tensor) -> Tensor:
        """The same as pixels `float [B, 3, H, W]`, about -1..1; gradients flow."""
        decoded: Tensor = self.vae.decode(self.unscaled(latents)).sample
        return decoded

    def unscaled(self, latents: Tensor) -> Tensor:
        """Latents as the autoencoder decodes them, in its precision."""
        latents = latents / self.vae.config.scaling_factor + (self.vae.config.shift_factor or 0.0)
        return latents.to(self.vae.dtype)

    def require_short(self, prompts: Sequence[str]) -> None:
        """Raise UserError if the text encoders take less than the whole of a prompt."""
        limit = self.prompt_limit
        for prompt in prompts:
            if not limit.fits(prompt):
                raise UserError(
                    f"prompt {prompt!r} has {limit.count(prompt)} tokens, and the text encoder of {self.name!r} takes "
                    f"{limit.length}: shorten it"
                )

    def digest(self) -> str:
        """SHA-256 in hex over all weights."""
        return weights_digest(torch.nn.ModuleDict(dict(self.parts)))
