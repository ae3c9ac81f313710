"""Numbers of components and strengths of control by region: some classes faithful to the layout, others free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from augment.layouts.scene import share_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# Least share of the labelled pixels of a cell with which a class counts there: thin objects such as poles have less
# than half of each cell.
LEAST_SHARE = 0.25


@dataclass(frozen=True)
class RegionKs:
    """A number of layout components for each of some classes.

    Attributes:
        ks: train id -> components, 0..K.
        ignore_index: train id of pixels without a class.
    """

    ks: Mapping[int, int]
    ignore_index: int = 255

    def cells(self, label: NDArray[np.unsignedinteger], k: int) -> NDArray[np.int64]:
        """The components that each cell follows, `int64 [h, w]`.

        These are the most that any class asks for which has a quarter or more of the cell's labelled pixels; classes
        that are not in `ks` ask for `k`. So the border of a class with few components follows its neighbour. A cell
        without such a class, or without labelled pixels, follows `k`.

        Args:
            label: train ids `uint8|uint16 [8 h, 8 w]`.
            k: components of all other classes.
        """
        return most_asked(label, self.ks, k, self.ignore_index).astype(np.int64)


@dataclass(frozen=True)
class RegionStrengths:
    """A strength of control for each of some classes.

    Attributes:
        factors: train id -> factor of what the adapter adds to the base, 0 or more.
        ignore_index: train id of pixels without a class.
    """

    factors: Mapping[int, float]
    ignore_index: int = 255

    def cells(self, label: NDArray[np.unsignedinteger]) -> NDArray[np.float32]:
        """The factor of each cell, `float32 [h, w]`, by the rule of `RegionKs.cells`; that of other classes is 1.

        Args:
            label: train ids `uint8|uint16 [8 h, 8 w]`.
        """
        return most_asked(label, self.factors, 1, self.ignore_index).astype(np.float32)


def most_asked(
    label: NDArray[np.unsignedinteger], asked: Mapping[int, float], default: float, ignore_index: int
) -> NDArray[np.float64]:
    """The largest number that a class of each cell asks for, `float64 [h, w]`; see `RegionKs.cells`.

    Args:
        label: train ids `[8 h, 8 w]`.
        asked: train id -> number, 0 or more.
        default: number of all other classes, and of cells without a class.
        ignore_index: train id of pixels without a class.
    """
    labelled = share_in(label != ignore_index)
    most = np.full(labelled.shape, -1.0)
    for train_id in np.unique(label[label != ignore_index]).tolist():
        share = share_in(label == train_id)
        counts = (share > 0) & (share >= LEAST_SHARE * labelled)
        most[counts] = np.maximum(most[counts], asked.get(train_id, default))
    return np.where(most < 0, default, most)
