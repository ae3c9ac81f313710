"""Conversion of 16-bit samples to 8 bits, by the number of bits that are in use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.record import RecordError

_SIXTEEN_BIT_MAX = 65535
# A quarter of white: an image looks far too dark if only single pixels are brighter.
_DARK, _SINGLE = 16383, 0.001
_DEPTHS = (8, 10, 12, 14)
_ROWS_AT_A_TIME = 256


def to_eight_bits(values: NDArray[Any], bit_depth: int | None, where: str) -> NDArray[np.uint8]:
    """Samples of 16 bits [H, W, ...] as uint8, ``2 ** bit_depth - 1`` being white; rounded to the nearest value.

    Raises RecordError for values out of that range. Without a depth all 16 bits count, and an image is refused if at
    most 0.1 % of its values are above 16383: it may be a dark photograph, or have samples of fewer bits.
    """
    lowest, highest = int(values.min()), int(values.max())
    if bit_depth is None and 0 <= lowest < highest and np.count_nonzero(values > _DARK) <= _SINGLE * values.size:
        raise _doubtful(values, highest, where)
    white = _SIXTEEN_BIT_MAX if bit_depth is None else (1 << bit_depth) - 1
    if lowest < 0 or highest > white:
        expected = "8 or 16 bits a channel" if bit_depth is None else f"0..{white}, which are {bit_depth} bits"
        raise RecordError(f"image values out of range: {where} holds {lowest}..{highest}: expected {expected}")
    pixels = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _ROWS_AT_A_TIME):
        rows = values[start : start + _ROWS_AT_A_TIME].astype(np.uint32)
        pixels[start : start + _ROWS_AT_A_TIME] = (rows * 255 + white // 2) // white
    return pixels


def _doubtful(values: NDArray[Any], highest: int, where: str) -> RecordError:
    usual = int(np.quantile(values, 1 - _SINGLE, method="lower")) if highest > _DARK else highest
    likely = next(bits for bits in _DEPTHS if usual < 1 << bits)
    found = f"values up to {highest}" + (f" and nearly all up to {usual}" if usual < highest else "")
    larger = ", once the few larger values are corrected" if highest >= 1 << likely else ""
    return RecordError(
        f"doubtful bit depth: {where} has {found} in 16 bits and would be far too dark: set dataset.bit_depth={likely} "
        f"if {likely} bits are in use{larger}, or 16 to read it unchanged"
    )
