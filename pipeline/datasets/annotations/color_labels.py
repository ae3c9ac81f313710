"""Labels that store classes as colours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.files.tree import enumerate_some
from pipeline.datasets.record import Label, RecordError
from pipeline.taxonomies.taxonomy import Color

# Limits the codes in memory, of eight bytes a pixel.
_PIXELS_AT_A_TIME = 1 << 20

# More unknown colours than this cannot be forgotten classes.
_SHADES = 24


def map_colors(
    pixels: NDArray[np.uint8] | NDArray[np.uint16],
    train_ids: Mapping[Color, int],
    where: str,
    dtype: type[np.uint8 | np.uint16] = np.uint8,
    hint: str = "",
) -> Label:
    """Train id of each pixel of an RGB image [H, W, 3], ``dtype`` [H, W].

    Raises RecordError naming the file, every colour that ``train_ids`` lacks, and the number of pixels that have one;
    ``hint`` follows, or advice on lossy files for many colours.
    """
    known = sorted(train_ids)
    known_codes = _codes(np.array(known, np.uint16).reshape(-1, 3))
    ids = np.array([train_ids[color] for color in known], dtype)
    label = np.empty(pixels.shape[:2], np.dtype(dtype))
    unknown: dict[int, int] = {}
    rows = max(1, _PIXELS_AT_A_TIME // max(1, pixels.shape[1]))
    for top in range(0, len(pixels), rows):
        codes = _codes(pixels[top : top + rows])
        if not known:
            places, is_known = np.zeros(codes.shape, np.intp), np.zeros(codes.shape, np.bool_)
        else:
            places = np.minimum(np.searchsorted(known_codes, codes), len(known) - 1)
            is_known = known_codes[places] == codes
            label[top : top + rows] = ids[places]
        if not is_known.all():
            for code, count in zip(*np.unique(codes[~is_known], return_counts=True), strict=True):
                unknown[int(code)] = unknown.get(int(code), 0) + int(count)
    if unknown:
        if len(unknown) > _SHADES:
            hint = "; this many mean that it was smoothed or saved with loss (as JPEG): save it without either"
        raise RecordError(
            f"unknown label colour: {where} has {_named(sorted(unknown))} ({sum(unknown.values())} pixels): expected "
            f"one of the {len(known)} colours of the classes{hint}"
        )
    return label


def _codes(colors: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint64]:
    """One integer for each colour [..., 3], in the order of colours as tuples."""
    red, green, blue = np.moveaxis(colors.astype(np.uint64), -1, 0)
    return red << np.uint64(32) | green << np.uint64(16) | blue


def _named(codes: list[int]) -> str:
    return enumerate_some([str((code >> 32, code >> 16 & 0xFFFF, code & 0xFFFF)) for code in codes])
