"""Depth maps by a frozen depth estimation model, through transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from augment.backbones.encoder import weights_digest
from augment.conditioning.cells import grid_of, to_cells
from augment.conditioning.options import CHANNELS
from augment.errors import UserError
from augment.loading import load_whole, quiet

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The key of the configuration that names the model of the conditioning.
KEY = "depth.model"
# Pixels along each side that are averaged into one channel: depth is smooth but for the outlines of objects.
BLOCK = 2
# A mean deviation below this share of the largest value is rounding.
FLATTEST = 1e-6


class Depth:
    """The depth that a model such as Depth Anything or DPT estimates, relative to the rest of the image.

    Most of these models know depth only up to a shift and a factor, which differ from image to image. So each map has
    the median 0 and the mean absolute deviation 1: Ranftl et al., *Towards robust monocular depth estimation*, 2020,
    eq. 5. Models that give inverse depth are large where it is near, those that give metres where it is far.
    """

    kind: ClassVar[str] = "depth"
    channels: ClassVar[int] = CHANNELS["depth"]
    needs_labels: ClassVar[bool] = False

    def __init__(self, model: str, device: str = "cpu", revision: str | None = None, key: str = KEY) -> None:
        """Load a hub id or local folder with model and image processor.

        Args:
            model: hub id or folder.
            device: torch device to run on.
            revision: commit of a hub id; None takes its newest.
            key: of the configuration that names the model, for errors.

        Raises:
            UserError: it cannot be loaded, is another kind of model, or lacks weights.
        """
        from transformers import AutoModelForDepthEstimation

        self.model, self._device = model, device
        self._processor = load_processor(model, revision, key)
        try:
            network = load_whole(AutoModelForDepthEstimation, model, dtype=torch.float32, revision=revision or "main")
        except (OSError, ValueError, ImportError) as error:
            raise UserError(f"{key}={model}: {_unloadable(error)}") from error
        self._network = network.eval().requires_grad_(False).to(device)
        self.revision = weights_digest(network)

    @torch.inference_mode()
    def maps(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.unsignedinteger] | None = None,  # noqa: ARG002 - see `Conditioning`
    ) -> NDArray[np.float16]:
        """See `Conditioning.maps`; a map of constant depth is 0."""
        grid_of(*images.shape[1:3])
        return to_cells(normalised(self.estimates(images)), BLOCK)

    @torch.inference_mode()
    def estimates(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the model predicts for RGB images `uint8 [B, H, W, 3]`, at their size: `float32 [B, H, W]`."""
        inputs = self._processor(images=list(images), return_tensors="pt").to(self._device)
        outputs = self._network(**inputs)
        # The second argument is the size of the images in all processors, under different names.
        found = self._processor.post_process_depth_estimation(outputs, [images.shape[1:3]] * len(images))
        return torch.stack([item["predicted_depth"] for item in found]).float().cpu().numpy()

    def facts(self) -> Mapping[str, Any]:
        """Kind, channels, and the model with the digest of its weights."""
        return {"kind": self.kind, "channels": self.channels, "model": self.model, "revision": self.revision}


def load_processor(model: str, revision: str | None = None, key: str = KEY) -> Any:
    """Load what brings images to the size of a depth estimation model, and its output back; see `Depth`.

    Raises:
        UserError: there is none, or it belongs to another kind of model.
    """
    from transformers import AutoImageProcessor

    try:
        with quiet():
            processor = AutoImageProcessor.from_pretrained(model, revision=revision or "main")
    # A processor may ask for a package that is not installed.
    except (OSError, ValueError, ImportError) as error:
        raise UserError(f"{key}={model}: {_unloadable(error)}") from error
    if not hasattr(processor, "post_process_depth_estimation"):
        raise UserError(f"{key}={model}: its {type(processor).__name__} is of another kind of model: {_REMEDY}")
    return processor


def normalised(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shift and scale each map of `float32 [B, H, W]` to the median 0 and the mean absolute deviation 1.

    A map that is constant but for rounding becomes 0. One with NaN or infinite values keeps NaN.
    """
    centred = depth - np.median(depth, axis=(1, 2), keepdims=True)
    deviation = np.abs(centred).mean(axis=(1, 2), keepdims=True)
    # A constant map is not exactly so once it has been resized.
    flat = np.isfinite(deviation) & (deviation <= FLATTEST * np.abs(depth).max(axis=(1, 2), keepdims=True))
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=~flat)


_REMEDY = (
    "give a hub id or a folder of a depth estimation model with its image processor, such as "
    "depth-anything/Depth-Anything-V2-Small-hf"
)


def _unloadable(error: Exception) -> str:
    return f"transformers cannot load it ({str(error).strip().splitlines()[0]}): {_REMEDY}"
