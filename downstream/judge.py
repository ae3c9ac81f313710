"""A trained segmenter as a function from images to labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from augment.errors import UserError
from augment.files import written_whole
from downstream.divergence import Diverged, require_finite_scores
from downstream.results import write_json
from downstream.segmenters import IGNORE_INDEX, PIXEL_MEAN, PIXEL_STD, build_segmenter, config_from_json, config_to_json

WEIGHTS = "segmenter.safetensors"
CONFIG = "segmenter.json"
_MASK_HEADS = ("MaskFormerHead", "Mask2FormerHead")
# Of a sum of probabilities, so that its logarithm is a number.
_SMALLEST = 1e-8


def save_segmenter(directory: Path, model: nn.Module, config: Mapping[str, Any], classes: Sequence[str]) -> None:
    """Write weights and config so that `Judge.load` can rebuild the segmenter."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with written_whole(directory / WEIGHTS) as scratch:
        save_file(weights, scratch)
    write_json(directory / CONFIG, {"classes": list(classes), "model": config_to_json(config)})


class Judge:
    """A segmenter trained on real images alone, which judges synthetic ones.

    Image and label agree where its prediction is the label.
    """

    def __init__(
        self, model: nn.Module, classes: Sequence[str], device: str = "cpu", ignore_index: int = IGNORE_INDEX
    ) -> None:
        self.model: Any = model.to(device).eval()
        self.classes = tuple(classes)
        self.ignore_index = ignore_index
        self.device = device
        self._classifies_masks = type(getattr(model, "decode_head", None)).__name__ in _MASK_HEADS
        self._mean = torch.tensor(PIXEL_MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(PIXEL_STD, device=device).view(1, 3, 1, 1)

    @classmethod
    def load(cls, directory: Path, device: str = "cpu") -> Judge:
        """Load the segmenter that a finished training left in its folder; UserError if it is missing."""
        if not (directory / CONFIG).is_file():
            raise UserError(f"no trained segmenter in {directory}: {CONFIG} is missing")
        content = json.loads((directory / CONFIG).read_text())
        config = config_from_json(content["model"])
        model = build_segmenter(config)
        model.load_state_dict(load_file(directory / WEIGHTS))
        return cls(model, content["classes"], device, config["data_preprocessor"]["seg_pad_val"])

    @property
    def label_dtype(self) -> type[np.unsignedinteger]:
        """The type of labels: uint8, or uint16 where they are ignored by 65535."""
        return np.uint8 if self.ignore_index == IGNORE_INDEX else np.uint16

    @torch.inference_mode()
    def logits(self, images: NDArray[np.uint8]) -> torch.Tensor:
        """Class scores `float32 [B, C, H, W]` of images `uint8 [B, H, W, 3]` in RGB order.

        Raises:
            UserError: a score is not finite, so that the judge is of no use.
        """
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self.device).permute(0, 3, 1, 2)
        height, width = images.shape[1:3]
        metas = [{"ori_shape": (height, width), "img_shape": (height, width)} for _ in images]
        scores: torch.Tensor = self.model.inference((pixels - self._mean) / self._std, metas)
        try:
            require_finite_scores(scores)
        except Diverged as error:
            raise UserError(f"the judge has diverged, {error}: train it again with --redo judge") from error
        # Heads that classify masks give sums of probabilities, not what a softmax takes.
        return scores.float().clamp_min(_SMALLEST).log() if self._classifies_masks else scores.float()

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.unsignedinteger]:
        """The most likely train id of each pixel, `[B, H, W]` for images `uint8 [B, H, W, 3]`.

        uint8, or uint16 where labels are ignored by 65535.
        """
        return self.logits(images).argmax(dim=1).cpu().numpy().astype(self.label_dtype)

    def loss(self, images: NDArray[np.uint8], labels: NDArray[np.unsignedinteger]) -> NDArray[np.float32]:
        """Cross-entropy in nats of each pixel against its label; 0 where the label is ignored.

        Args:
            images: `uint8 [B, H, W, 3]`, RGB.
            labels: `uint8|uint16 [B, H, W]` train ids or `ignore_index`.

        Returns:
            `float32 [B, H, W]`, >= 0.
        """
        [loss] = self.losses(images, labels)
        return loss

    @torch.inference_mode()
    def losses(self, images: NDArray[np.uint8], *labellings: NDArray[np.unsignedinteger]) -> list[NDArray[np.float32]]:
        """The `loss` of the same images against each of several batches of labels, with one run of the network."""
        scores = self.logits(images).log_softmax(dim=1)
        return [self._loss(scores, labels).cpu().numpy() for labels in labellings]

    @torch.inference_mode()
    def compare(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.unsignedinteger],
        others: NDArray[np.unsignedinteger],
        cap: float,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The `loss` of images against their labels, and how well other labels fit the same images.

        Args:
            images: `uint8 [B, H, W, 3]`, RGB.
            labels: `uint8|uint16 [B, H, W]` train ids or `ignore_index`.
            others: labels `[N, H, W]`, each with a labelled pixel.
            cap: largest loss of a pixel in nats that counts.

        Returns:
            The loss `float32 [B, H, W]`, and the mean loss `float32 [B, N]` of each image against each other label.
        """
        scores = self.logits(images).log_softmax(dim=1)
        means = np.empty((len(images), len(others)), np.float32)
        for number, other in enumerate(others):
            loss = self._loss(scores, np.broadcast_to(other, labels.shape)).clamp_max(cap)
            means[:, number] = (loss.sum(dim=(1, 2)) / int((other != self.ignore_index).sum())).cpu().numpy()
        return self._loss(scores, labels).cpu().numpy(), means

    def _loss(self, scores: torch.Tensor, labels: NDArray[np.unsignedinteger]) -> torch.Tensor:
        """The loss of labels, by logarithms of probabilities, which are the same for all labels of an image."""
        target = torch.from_numpy(labels.astype(np.int64)).to(self.device)
        return nn.functional.nll_loss(scores, target, ignore_index=self.ignore_index, reduction="none")
