"""Decoding by OpenCV, which keeps all 16 bits where Pillow does not."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

# OpenCV logs oddities of files, such as unknown tags.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decoded_channels(data: bytes) -> NDArray[np.uint16]:
    """The samples of a 16-bit file of 3 or 4 channels, uint16 [H, W, C], in RGB order; raises ValueError."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("its pixels cannot be decoded")
    # OpenCV's order is blue, green, red.
    pixels[..., :3] = pixels[..., 2::-1]
    return np.asarray(pixels, np.uint16)
