"""Embeddings of images by a CLIP model, through transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from augment.errors import UserError
from augment.loading import load_whole, quiet

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REMEDY = (
    "give a hub id or a folder of a CLIP model with its image processor, such as openai/clip-vit-large-patch14-336"
)


class ClipEmbedder:
    """The projected image embedding of a CLIP model, as CMMD compares them."""

    def __init__(self, model: str, device: str = "cpu", revision: str | None = None) -> None:
        """Load a hub id or local folder.

        Args:
            model: hub id or folder.
            device: torch device to run on.
            revision: commit of a hub id; None takes its newest.

        Raises:
            UserError: it cannot be loaded, or lacks weights.
        """
        from transformers import AutoImageProcessor, CLIPModel

        try:
            with quiet():
                self._processor = AutoImageProcessor.from_pretrained(model, revision=revision or "main")
            whole = load_whole(CLIPModel, model, dtype=torch.float32, revision=revision or "main")
        except (OSError, ValueError, ImportError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"evaluate.clip_model={model}: transformers cannot load it ({reason}): {_REMEDY}"
            ) from error
        whole = whole.eval().requires_grad_(False)
        # The text encoder takes no memory on the device.
        self._encoder, self._projection = whole.vision_model.to(device), whole.visual_projection.to(device)
        self._device = device
        side = int(whole.config.vision_config.image_size)
        # The whole image is resized, as in the code of CMMD; a crop would leave out the sides of a wide street.
        self._size = {"height": side, "width": side}

    @torch.inference_mode()
    def embed(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Embeddings `float32 [D]` of RGB images `uint8 [H, W, 3]`."""
        inputs = self._processor(
            images=list(images), size=self._size, do_resize=True, do_center_crop=False, return_tensors="pt"
        )
        encoded = self._encoder(pixel_values=inputs["pixel_values"].to(self._device)).pooler_output
        return list(self._projection(encoded).float().cpu().numpy())
