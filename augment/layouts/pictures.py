"""Pictures of layouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray


def layout_picture(layout: NDArray[np.floating], height: int, width: int) -> NDArray[np.uint8]:
    """Show the first three components of a layout `[K, h, w]` as red, green and blue.

    Returns:
        `uint8 [height, width, 3]`; two standard deviations of the fit data fill the range.
    """
    planes = np.zeros((3, *layout.shape[1:]), dtype=np.float32)
    planes[: min(3, len(layout))] = layout[:3]
    levels = np.clip(127.5 + planes * (127.5 / 2), 0, 255).round().astype(np.uint8).transpose(1, 2, 0)
    return np.asarray(Image.fromarray(levels).resize((width, height), Image.Resampling.NEAREST))
