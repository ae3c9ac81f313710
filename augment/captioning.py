"""Captions of images by a frozen image-to-text model, through transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from augment.errors import UserError
from augment.loading import load_whole, quiet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Captioner:
    """An image-to-text model such as BLIP, decoded greedily: equal images get equal captions."""

    def __init__(
        self, source: str, device: str = "cpu", max_new_tokens: int = 30, prompt: str = "", revision: str | None = None
    ) -> None:
        """Load `source`, a hub id or local folder with model and processor.

        Args:
            source: loaded by transformers' `AutoModelForImageTextToText` and `AutoProcessor`.
            device: torch device to run on.
            max_new_tokens: tokens per caption at most, not counting those of the prompt.
            prompt: the words that every caption begins with; may be empty.
            revision: commit of a hub id; None takes its newest.

        Raises:
            UserError: it cannot be loaded, reads no images, or lacks weights.
        """
        from transformers import AutoModelForImageTextToText, AutoProcessor

        try:
            with quiet():
                self._processor = AutoProcessor.from_pretrained(source, revision=revision or "main")
            model = load_whole(AutoModelForImageTextToText, source, dtype=torch.float32, revision=revision or "main")
        # A processor may ask for a package that is not installed.
        except (OSError, ValueError, ImportError) as error:
            raise UserError(
                f"captions.model: transformers cannot load {source!r} ({str(error).strip().splitlines()[0]}): "
                "give a hub id or a folder of an image-to-text model with its processor, such as BLIP"
            ) from error
        if not hasattr(self._processor, "image_processor"):
            raise UserError(f"captions.model: {source!r} has no image processor: give a whole image-to-text model")
        self._model = model.eval().requires_grad_(False).to(device)
        self._device, self._max_new_tokens, self._prompt = device, max_new_tokens, prompt

    @torch.inference_mode()
    def describe(self, images: NDArray[np.uint8]) -> list[str]:
        """Write a caption of one line for each RGB image `uint8 [B, H, W, 3]`; it may be empty."""
        text = {"text": [self._prompt] * len(images)} if self._prompt else {}
        inputs = self._processor(images=list(images), return_tensors="pt", **text).to(self._device)
        with quiet():
            tokens = self._model.generate(**inputs, max_new_tokens=self._max_new_tokens, do_sample=False, num_beams=1)
        return [" ".join(words.split()) for words in self._processor.batch_decode(tokens, skip_special_tokens=True)]
