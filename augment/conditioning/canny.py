"""Canny edges, by OpenCV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np

from augment.conditioning.cells import to_cells
from augment.conditioning.options import CHANNELS

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Canny:
    """The edges of `cv2.Canny`, 1 on an edge and 0 elsewhere: a channel for each pixel of a cell, nothing is lost.

    An edge is one pixel wide, so its place in the cell is the information. As in the examples of diffusers, OpenCV
    reads all three colours, and takes the one with the largest gradient.
    """

    low: float = 100
    high: float = 200
    kind: ClassVar[str] = "canny"
    channels: ClassVar[int] = CHANNELS["canny"]
    needs_labels: ClassVar[bool] = False

    def maps(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.unsignedinteger] | None = None,  # noqa: ARG002 - see `Conditioning`
    ) -> NDArray[np.float16]:
        """See `Conditioning.maps`; values are 0 and 1."""
        edges = [cv2.Canny(np.ascontiguousarray(image), self.low, self.high) for image in images]
        return to_cells(np.stack(edges) / np.float32(255))

    def facts(self) -> Mapping[str, Any]:
        """Kind, channels and thresholds."""
        return {"kind": self.kind, "channels": self.channels, "low": self.low, "high": self.high}
