"""Distances between all rows of two arrays, in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

from augment.errors import require_none

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows of the first array in one block.
BLOCK = 512


def distance_blocks(
    first: NDArray[np.floating], second: NDArray[np.floating]
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Euclidean distances of some rows of the first array to all rows of the second, until all are through.

    Args:
        first: `float [N, D]`, finite.
        second: `float [M, D]`, finite.

    Yields:
        The rows, and their distances `float64 [rows, M]`.
    """
    require_vectors(first, second)
    others = np.asarray(second, np.float64)
    for start in range(0, len(first), BLOCK):
        rows = slice(start, min(start + BLOCK, len(first)))
        # Differences, and not the expansion into products, which loses the digits of short distances.
        yield rows, cdist(np.asarray(first[rows], np.float64), others)


def require_vectors(*arrays: NDArray[np.floating], least: int = 1) -> None:
    """Check that arrays are vectors of one length, with `least` of them in each.

    Raises:
        ValueError: they are not.
        NotFinite: a number is NaN or infinite.
    """
    for array in arrays:
        if array.ndim != 2 or array.shape[1] != arrays[0].shape[1]:
            raise ValueError(f"features need the shape [N, D] with one D, got {[array.shape for array in arrays]}")
        if len(array) < least:
            raise ValueError(f"at least {least} vectors are needed, got {len(array)}")
        require_none(int((~np.isfinite(array)).sum()), array.size, "the features that images are measured by")
