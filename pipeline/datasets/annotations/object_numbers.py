"""Numbers of the objects in an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def number_codes(codes: NDArray[np.unsignedinteger]) -> NDArray[np.uint16]:
    """Number the objects of an image from 1, in ascending order of their codes [H, W]; 0 is no object in both."""
    is_present = np.zeros(int(codes.max()) + 1, np.bool_)
    is_present[codes] = True
    is_present[0] = False
    # Absent codes repeat the number before them; no pixel has one. Code 0 is number 0.
    return np.cumsum(is_present, dtype=np.uint16)[codes]
