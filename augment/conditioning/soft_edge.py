"""Soft edges without a network: the gradient of a blurred image, by OpenCV."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np

from augment.conditioning.cells import to_cells
from augment.conditioning.options import CHANNELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A gradient below one level of grey is noise.
FAINTEST = 1 / 255


@dataclass(frozen=True)
class SoftEdge:
    """How steep the brightness is, in 0..1, relative to the rest of the image; a stand-in for HED without its network.

    The gradient g is that of the brightness after a Gaussian blur, in units of the contrast of a step that has it. The
    value is g / (g + m) with the mean m of g over the image: 0.5 is as steep as the mean, and a darker or flatter
    copy of an image has nearly the same edges. There is a channel for each pixel of a cell, as of Canny edges.
    """

    sigma: float = 1.5
    kind: ClassVar[str] = "soft_edge"
    channels: ClassVar[int] = CHANNELS["soft_edge"]
    needs_labels: ClassVar[bool] = False

    def maps(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.unsignedinteger] | None = None,  # noqa: ARG002 - see `Conditioning`
    ) -> NDArray[np.float16]:
        """See `Conditioning.maps`; values are 0..1, those of a constant image 0."""
        return to_cells(np.stack([self.edges(image) for image in images]))

    def edges(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Soft edges `float32 [H, W]` in 0..1 of an RGB image `uint8 [H, W, 3]`."""
        grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
        blurred = cv2.GaussianBlur(grey, (0, 0), self.sigma)
        # The weights of a 3 x 3 Sobel filter add up to 8 for each pixel of distance. A blurred step of contrast c is
        # steepest in its middle, c / (sigma sqrt(2 pi)).
        unit = self.sigma * math.sqrt(2 * math.pi) / 8
        across, down = (cv2.Sobel(blurred, cv2.CV_32F, *axis, scale=unit) for axis in ((1, 0), (0, 1)))
        steepness = np.hypot(across, down)
        return steepness / (steepness + max(float(steepness.mean()), FAINTEST))

    def facts(self) -> Mapping[str, Any]:
        """Kind, channels and blur."""
        return {"kind": self.kind, "channels": self.channels, "sigma": self.sigma}
