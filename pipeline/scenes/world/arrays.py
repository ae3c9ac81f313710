"""Names for the arrays that scenes are made of."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating[Any]]
"""Coordinates, colours and light."""

Ints: TypeAlias = NDArray[np.int32]
"""Numbers of faces, and counts by face."""
