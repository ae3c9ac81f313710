"""What the image encoders of transformers have in common: loading them, and the grid of their features."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch

from augment.backbones.families import Family, channels_of, layer_index, patch_of
from augment.backbones.normalisation import normalisation_of
from augment.backbones.options import FeatureOptions
from augment.backbones.patch_grid import resize_to_patches, to_patch_grid
from augment.errors import UserError
from augment.loading import load_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Encoder(ABC):
    """A frozen image encoder of transformers; a subclass says how features are read from it.

    The position embeddings are interpolated to the grid of the image, which need not be square.
    """

    def __init__(
        self, name: str, source: str, family: Family, config: Any, device: str, settings: FeatureOptions
    ) -> None:
        """Load the encoder of `source`, a hub id or local folder of a model of this family and configuration.

        Raises:
            UserError: it lacks weights, or does not have the features of the settings.
        """
        import transformers

        self.layer = layer_index(family, config, settings)
        self.channels = channels_of(family, config, settings)
        self.patch = patch_of(family, config, self.layer)
        whole = load_whole(getattr(transformers, family.model), source, dtype=torch.float32, **family.settings)
        model = getattr(whole, family.part) if family.part else whole
        self.name, self.settings = name, settings
        self.device = torch.device(device)
        self._family, self._config = family, config
        self._normalisation = normalisation_of(family, source)
        self.revision = revision_of(weights_digest(model), self._changes())
        self._dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
        self._model = model.eval().requires_grad_(False).to(self.device, self._dtype)

    def _changes(self) -> dict[str, Any]:
        """All that changes the features of these weights; empty for the defaults."""
        changes = self.settings.changed
        # The last layer may be named in two ways.
        changes.pop("layer", None)
        if not self.is_last:
            changes["layer"] = self.layer
        if self._normalisation != self._family.normalisation and not self._family.own_normalisation:
            changes["normalisation"] = self._normalisation
        return changes

    @property
    def is_last(self) -> bool:
        """Whether the features are those of the last layer."""
        return self.layer == layer_index(self._family, self._config, FeatureOptions())

    @torch.inference_mode()
    def features(self, images: NDArray[np.uint8], stride: int = 8) -> torch.Tensor:
        """Encode RGB images `uint8 [B, H, W, 3]` into `float32 [B, channels, H / stride, W / stride]` on the device.

        Raises:
            UserError: a size is not a multiple of `stride`.
        """
        return self._encoded(to_patch_grid(images, self.patch, stride, *self._normalisation, self.device))

    def pixel_features(self, pixels: torch.Tensor, stride: int = 8) -> torch.Tensor:
        """See `PixelBackbone.pixel_features`."""
        return self._encoded(resize_to_patches(pixels, self.patch, stride, *self._normalisation))

    def _encoded(self, pixels: torch.Tensor) -> torch.Tensor:
        rows, columns = pixels.shape[2] // self.patch, pixels.shape[3] // self.patch
        return self._cells(pixels.to(self._dtype), rows, columns)

    @abstractmethod
    def _cells(self, pixels: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        """Features `float32 [B, channels, rows, columns]` of normalised pixels `[B, 3, H, W]`."""


def revision_of(weights: str, changes: dict[str, Any]) -> str:
    """The revision of features: the digest of the weights, and of what changes their features where anything does."""
    if not changes:
        return weights
    return hashlib.sha256(f"{weights}\0{json.dumps(changes, sort_keys=True)}".encode()).hexdigest()


def weights_digest(model: torch.nn.Module) -> str:
    """SHA-256 over names and bytes of all weights, in hex: the revision of a model that no hub versions."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def wrong_grid(name: str, found: int, rows: int, columns: int) -> UserError:
    """The error for a model whose features do not fit the grid of the image."""
    return UserError(f"backbone {name!r} gives {found} patch tokens for a grid of {columns}x{rows}: use another model")
