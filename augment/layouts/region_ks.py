"""Numbers of components by region: some classes faithful to the layout, others free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from augment.layouts.scene import in_blocks, share_in

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
        labelled = in_blocks(label != self.ignore_index).mean(axis=(1, 3))
        most = np.full(labelled.shape, -1, np.int64)
        for train_id in np.unique(label[label != self.ignore_index]).tolist():
            share = share_in(label == train_id)
            counts = (share > 0) & (share >= LEAST_SHARE * labelled)
            most[counts] = np.maximum(most[counts], self.ks.get(train_id, k))
        return np.where(most < 0, k, most)
