"""How much of a feature the position in the image explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from augment.layouts.rows import on_host

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from augment.layouts.rows import Rows


def position_terms(height: int, width: int) -> NDArray[np.float64]:
    """The quadratic polynomials of the position in a grid: `float64 [height * width, 6]`, row by row.

    Their terms are 1, y, x, y^2, x^2 and xy, with y and x from -1 to 1 over the image, whatever its size.
    """
    y, x = (axis.ravel() for axis in np.meshgrid(_centres(height), _centres(width), indexing="ij"))
    return np.stack([np.ones_like(y), y, x, y * y, x * x, x * y], axis=1)


def _centres(count: int) -> NDArray[np.float64]:
    return (2 * np.arange(count) + 1) / count - 1


@dataclass(frozen=True)
class PositionMoments:
    """Sums that the regression of features on the terms of their position needs; sums of parts add up.

    Attributes:
        gram: `float64 [6, 6]`, products of the terms.
        cross: `float64 [6, C]`, products of terms and features.
    """

    gram: NDArray[np.float64]
    cross: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Rows, height: int, width: int) -> PositionMoments:
        """Those of `rows [N, C]`, the cells of whole grids one after the other, row by row."""
        terms = position_terms(height, width)
        grids = len(rows) // len(terms)
        summed = on_host(rows.reshape(grids, len(terms), -1).sum(0))
        return cls(grids * (terms.T @ terms), terms.T @ summed)

    def merge(self, other: PositionMoments) -> PositionMoments:
        """Those of the union of two disjoint sets."""
        return PositionMoments(self.gram + other.gram, self.cross + other.cross)

    @property
    def explained(self) -> NDArray[np.float64]:
        """Covariance `float64 [C, C]` of the features as the position predicts them."""
        count = self.gram[0, 0]
        # The first term is 1: without it, products are of deviations from the mean. Narrow grids lack some terms.
        centred_gram = self.gram[1:, 1:] - np.outer(self.gram[1:, 0], self.gram[0, 1:]) / count
        centred_cross = self.cross[1:] - np.outer(self.gram[1:, 0], self.cross[0]) / count
        weights = np.linalg.pinv(centred_gram, rcond=1e-10, hermitian=True) @ centred_cross
        explained: NDArray[np.float64] = centred_cross.T @ weights / count
        return explained
