"""Whether two images agree in their edges and in their depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from augment.conditioning.depth import normalised
from augment.errors import require_none

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Pixels by which an edge may be displaced.
TOLERANCE = 2
# Thresholds of the gradient, as in the examples of diffusers and as `CannyOptions` has them.
LOW, HIGH = 100.0, 200.0


def edge_map(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The Canny edges `bool [H, W]` of an image `uint8 [H, W, 3]`."""
    return cv2.Canny(np.ascontiguousarray(image), LOW, HIGH) > 0


def edge_agreement(first: NDArray[np.bool_], second: NDArray[np.bool_], tolerance: int = TOLERANCE) -> float | None:
    """F1 score of edges: those of each image that the other has at most `tolerance` pixels away.

    The boundary F1 of Csurka et al., *What is a good evaluation measure for semantic segmentation?*, 2013, of Canny
    edges.

    Args:
        first, second: edges `bool [H, W]`; see `edge_map`.
        tolerance: pixels along each side.

    Returns:
        0..1; 0 if one image alone has edges, None if neither has any.
    """
    if not first.any() and not second.any():
        return None
    kernel = np.ones((2 * tolerance + 1,) * 2, np.uint8)
    hits = []
    for edges, others in ((first, second), (second, first)):
        near = cv2.dilate(others.astype(np.uint8), kernel) > 0
        hits.append(float(near[edges].mean()) if edges.any() else 0.0)
    return 2 * hits[0] * hits[1] / sum(hits) if sum(hits) else 0.0


def depth_error(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Mean absolute difference of two depth maps, each at the median 0 and the mean absolute deviation 1.

    Neither shift nor scale counts: Ranftl et al., *Towards robust monocular depth estimation*, 2020, equations 5 and 6.

    Args:
        first, second: depth `float32 [H, W]` of one model.

    Returns:
        0 for equal maps; at most 2.

    Raises:
        NotFinite: a depth is NaN or infinite.
    """
    depths = np.stack([first, second])
    require_none(int((~np.isfinite(depths)).sum()), depths.size, "the depths of evaluate.depth_model")
    maps = normalised(depths)
    return float(np.abs(maps[0] - maps[1]).mean(dtype=np.float64))
