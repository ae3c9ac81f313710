"""Labels whose classes are colours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.base import RecordError
from pipeline.datasets.tree import enumerate_some
from pipeline.taxonomies.taxonomy import Color

# Places of red, green and blue in one integer, which orders colours as tuples are ordered.
_PLACES = np.array([1 << 16, 1 << 8, 1], np.uint32)


def map_colors(pixels: NDArray[np.uint8], train_ids: Mapping[Color, int], where: str) -> NDArray[np.uint8]:
    """Train id of each pixel of an RGB image [H, W, 3], uint8 [H, W].

    Raises RecordError naming the file, every colour that ``train_ids`` lacks, and how many pixels have one.
    """
    codes = pixels.astype(np.uint32) @ _PLACES
    known = sorted(train_ids)
    known_codes = np.array(known, np.uint32) @ _PLACES
    places = np.minimum(np.searchsorted(known_codes, codes), len(known) - 1)
    strange = codes[known_codes[places] != codes]
    if strange.size:
        raise RecordError(
            f"unknown label colour: {where} has {_named(strange)} ({strange.size} pixels): expected one of the "
            f"{len(known)} colours of the classes"
        )
    return np.array([train_ids[color] for color in known], np.uint8)[places]


def _named(codes: NDArray[np.uint32]) -> str:
    channels = np.unique(codes)[:, None] // _PLACES % 256
    return enumerate_some([str(tuple(color)) for color in channels.tolist()])
