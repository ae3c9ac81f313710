"""Layouts and their views as bytes: half precision, or a byte for each value with a scale for each channel.

The scale is that of the sample's own range, not of the store: it clips nothing, whatever the layout is made of, and its
error is a third of that of a common scale that clips at eight standard deviations (docs/layout-store.md).
"""

from __future__ import annotations

import io
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.store.errors import InvalidSample

LayoutFormat: TypeAlias = Literal["float16", "uint8"]

# The extension of the member's file in each format.
SUFFIXES: dict[LayoutFormat, str] = {"float16": "npy", "uint8": "npz"}
_LEVELS = 255


def encode_layout(values: NDArray[np.float16], layout_format: LayoutFormat) -> bytes:
    """Layouts `float16 [..., h, w]` as the bytes of a NumPy file.

    ``float16`` is a `.npy` file of the values as they are. ``uint8`` is a `.npz` file of ``values`` uint8 [..., h, w],
    ``low`` and ``step`` float32 [...]: ``low + step * values`` is off by at most half a step, and rounding to float16.
    Raises InvalidSample for NaN and infinite values as ``uint8``.
    """
    buffer = io.BytesIO()
    if layout_format == "float16":
        np.save(buffer, np.ascontiguousarray(values), allow_pickle=False)
        return buffer.getvalue()
    if not np.isfinite(values).all():
        raise InvalidSample("not finite: a layout with NaN or infinite values cannot be stored as uint8")
    exact = values.astype(np.float32)
    low, high = exact.min(axis=(-2, -1)), exact.max(axis=(-2, -1))
    step = (high - low) / _LEVELS
    # Where all values of a channel are equal, `low` alone is exact.
    levels = (exact - low[..., None, None]) / np.where(step > 0, step, 1)[..., None, None]
    levels = levels.round().clip(0, _LEVELS).astype(np.uint8)
    np.savez(buffer, values=levels, low=low, step=step)
    return buffer.getvalue()


def decode_layout(data: bytes, layout_format: LayoutFormat) -> NDArray[np.float16]:
    """The layouts `float16 [..., h, w]` of these bytes; raises errors of any type where they are damaged."""
    loaded = np.load(io.BytesIO(data), allow_pickle=False)
    if layout_format == "float16":
        found: NDArray[np.float16] = loaded
        return found
    low, step = (loaded[name][..., None, None] for name in ("low", "step"))
    decoded: NDArray[np.float16] = (low + step * loaded["values"]).astype(np.float16)
    return decoded


def rounding_error(values: NDArray[np.float16]) -> float:
    """The largest absolute error of finite layouts `float16 [..., h, w]` that are stored as ``uint8``."""
    stored = decode_layout(encode_layout(values, "uint8"), "uint8")
    return float(np.abs(stored.astype(np.float32) - values.astype(np.float32)).max())
