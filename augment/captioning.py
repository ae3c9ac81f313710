"""Sentences that a frozen model writes of images, through transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from augment.errors import UserError
from augment.loading import load_whole, quiet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Captioner:
    """An image-to-text model such as BLIP, which takes the likeliest word each time: equal images, equal captions."""

    def __init__(self, source: str, device: str = "cpu", max_new_tokens: int = 30, prompt: str = "") -> None:
        """Load `source`, a hub id or local folder with model and processor.

        Args:
            source: what transformers' `AutoModelForImageTextToText` and `AutoProcessor` load.
            device: where it shall run.
            max_new_tokens: at most so many tokens a caption, beside those of the prompt.
            prompt: the words that a caption begins with; none leaves them to the model.

        Raises:
            UserError: nothing loadable is there, or it reads no images, or weights are missing.
        """
        from transformers import AutoModelForImageTextToText, AutoProcessor

        try:
            with quiet():
                self._processor = AutoProcessor.from_pretrained(source)
            model = load_whole(AutoModelForImageTextToText, source, dtype=torch.float32)
        # A processor may ask for a package that is not installed.
        except (OSError, ValueError, ImportError) as error:
            raise UserError(
                f"captions.model: transformers cannot load {source!r} ({str(error).strip().splitlines()[0]}): "
                "give a hub id or a folder of an image-to-text model with its processor, such as BLIP"
            ) from error
        if not hasattr(self._processor, "image_processor"):
            raise UserError(f"captions.model: {source!r} has no processor of images: give a whole image-to-text model")
        self._model = model.eval().requires_grad_(False).to(device)
        self._device, self._max_new_tokens, self._prompt = device, max_new_tokens, prompt

    @torch.inference_mode()
    def describe(self, images: NDArray[np.uint8]) -> list[str]:
        """A caption of each RGB image `uint8 [B, H, W, 3]`, of one line; empty where the model says nothing."""
        text = {"text": [self._prompt] * len(images)} if self._prompt else {}
        inputs = self._processor(images=list(images), return_tensors="pt", **text).to(self._device)
        with quiet():
            tokens = self._model.generate(**inputs, max_new_tokens=self._max_new_tokens, do_sample=False, num_beams=1)
        return [" ".join(words.split()) for words in self._processor.batch_decode(tokens, skip_special_tokens=True)]
