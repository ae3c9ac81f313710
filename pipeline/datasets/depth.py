"""From samples of 16 bits to the 8 bits of images: which bits count, and by how much values shrink."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.base import RecordError

_SIXTEEN_BIT_MAX = 65535
# An image without any larger value is black to the eye: 4095 of 65535 is 16 of 255.
_NEARLY_BLACK = 4095
_ROWS_AT_A_TIME = 256


def to_eight_bits(values: NDArray[np.generic], bit_depth: int | None, where: str) -> NDArray[np.uint8]:
    """Samples of 16 bits [H, W, ...] as uint8, ``2 ** bit_depth - 1`` being white; rounded to the nearest value.

    Raises RecordError for values out of that range. Without a depth all 16 bits count, and an image of no value above
    4095 is refused: whether it was taken in the dark or holds samples of 12 bits cannot be seen.
    """
    lowest, highest = int(values.min()), int(values.max())
    if bit_depth is None and 0 <= lowest <= highest <= _NEARLY_BLACK and highest > 0:
        likely = 10 if highest < 1024 else 12
        raise RecordError(
            f"doubtful bit depth: {where} has values up to {highest} in 16 bits and would be black: set "
            f"dataset.bit_depth={likely} if so many bits count, or 16 to read it as it is"
        )
    white = _SIXTEEN_BIT_MAX if bit_depth is None else (1 << bit_depth) - 1
    if lowest < 0 or highest > white:
        expected = "8 or 16 bits a channel" if bit_depth is None else f"0..{white}, which are {bit_depth} bits"
        raise RecordError(f"image values out of range: {where} holds {lowest}..{highest}: expected {expected}")
    pixels = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _ROWS_AT_A_TIME):
        rows = values[start : start + _ROWS_AT_A_TIME].astype(np.uint32)
        pixels[start : start + _ROWS_AT_A_TIME] = (rows * 255 + white // 2) // white
    return pixels
