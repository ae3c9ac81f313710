"""Vision transformers of the DINOv2 family, through transformers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from augment.backbones.patch_grid import IMAGENET_MEAN, IMAGENET_STD, resize_to_patches, to_patch_grid
from augment.errors import UserError
from augment.loading import load_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Names of transformers. Other models take one image size, or have no class token, or no tokens at all.
MODEL_TYPES = ("dinov2", "dinov2_with_registers", "dinov3_vit")


class TransformerBackbone:
    """Patch tokens of a vision transformer's last hidden state, after its final normalisation.

    CLS and register tokens are dropped. Patch tokens with an outlying norm (more than four median absolute
    deviations above the image's median) are scaled back to that bound: they carry global state, not the patch.
    """

    def __init__(self, name: str, source: str | Path, device: str = "cpu") -> None:
        """Load `source`, a hub id or local folder that `transformers.AutoModel` reads.

        Raises:
            UserError: it cannot be loaded, is not a DINO vision transformer, or lacks weights.
        """
        from transformers import AutoModel

        try:
            model = load_whole(AutoModel, source, dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise UserError(
                f"backbone {name!r}: transformers cannot load {str(source)!r} "
                f"({str(error).splitlines()[0]}): give a hub id or a folder with config.json and weights"
            ) from error
        if model.config.model_type not in MODEL_TYPES:
            raise UserError(
                f"backbone {name!r} is a {model.config.model_type} model, and only {', '.join(MODEL_TYPES)} give one "
                "token per patch for images of any size: use a DINOv2 or DINOv3 vision transformer"
            )
        patch = getattr(model.config, "patch_size", None)
        if not isinstance(patch, int):
            raise UserError(f"backbone {name!r}: {type(model).__name__} has no square patches: use a ViT")
        self.name, self.patch = name, patch
        self.channels: int = model.config.hidden_size
        self.device = torch.device(device)
        self._prefix_tokens = 1 + int(getattr(model.config, "num_register_tokens", 0) or 0)
        self._model = model.eval().requires_grad_(False).to(self.device)
        self.revision = weights_digest(model)

    @torch.inference_mode()
    def features(self, images: NDArray[np.uint8], stride: int = 8) -> torch.Tensor:
        """Encode RGB images `uint8 [B, H, W, 3]` into `float32 [B, channels, H / stride, W / stride]`.

        Raises:
            UserError: a size is not a multiple of `stride`.
        """
        pixels = to_patch_grid(images, self.patch, stride, IMAGENET_MEAN, IMAGENET_STD).to(self.device)
        rows, columns = pixels.shape[2] // self.patch, pixels.shape[3] // self.patch
        tokens = self._model(pixel_values=pixels).last_hidden_state[:, self._prefix_tokens :]
        if tokens.shape[1] != rows * columns:
            raise UserError(
                f"backbone {self.name!r} gives {tokens.shape[1]} patch tokens for a grid of {columns}x{rows}: "
                "use a DINOv2 model"
            )
        tokens = clip_outliers(tokens.float())
        return tokens.transpose(1, 2).reshape(len(images), self.channels, rows, columns).cpu()

    def layer_tokens(self, pixels: torch.Tensor, depth: int, stride: int = 8) -> list[torch.Tensor]:
        """See `Backbone.layer_tokens`."""
        hidden = self._model.embeddings(resize_to_patches(pixels, self.patch, stride, IMAGENET_MEAN, IMAGENET_STD))
        tokens = []
        for layer in self._model.encoder.layer[:depth]:
            hidden = layer(hidden)
            tokens.append(hidden)
        return tokens


def clip_outliers(tokens: torch.Tensor, deviations: float = 4.0) -> torch.Tensor:
    """Scale tokens `float [B, N, C]` with an outlying norm back to median + `deviations` x MAD of their image."""
    norms = tokens.norm(dim=-1, keepdim=True)
    median = norms.median(dim=1, keepdim=True).values
    mad = (norms - median).abs().median(dim=1, keepdim=True).values
    bound = median + deviations * 1.4826 * mad
    return tokens * torch.where(norms > bound, bound / norms, torch.ones_like(norms))


def weights_digest(model: torch.nn.Module) -> str:
    """SHA-256 over names and bytes of all weights, in hex: the revision of a model that no hub versions."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
