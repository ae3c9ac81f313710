"""How well linear regressions read off layouts how strongly the images were changed; all of it from sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from augment.layouts.known_changes import STRENGTHS
from augment.layouts.moments import FeatureMoments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Leak = dict[str, float]

# Of the regressions, as multiples of the mean of the eigenvalues.
RIDGES = np.logspace(-6, 4, 61)


@dataclass(frozen=True)
class LeakMoments:
    """Moments of layouts of changed images, with the strengths of the changes as the last columns.

    Attributes:
        means: of the mean of each layout over its image.
        cells: of the cells, each with the strengths of its image.
    """

    means: FeatureMoments
    cells: FeatureMoments

    @classmethod
    def of(cls, layouts: NDArray[np.floating], strengths: NDArray[np.float64]) -> LeakMoments:
        """Those of layouts `[N, K, h, w]` of images under changes of the strengths `[N, 4]`; see `STRENGTHS`."""
        cells = layouts.transpose(0, 2, 3, 1).reshape(-1, layouts.shape[1])
        places = len(cells) // len(layouts)
        return cls(
            FeatureMoments.of(np.hstack([layouts.mean(axis=(2, 3), dtype=np.float64), strengths])),
            FeatureMoments.of(np.hstack([cells, strengths.repeat(places, axis=0)])),
        )

    def merge(self, other: LeakMoments) -> LeakMoments:
        """Those of the union of two disjoint sets."""
        return LeakMoments(self.means.merge(other.means), self.cells.merge(other.cells))


def leaks(fitted: LeakMoments, measured: LeakMoments, ks: Sequence[int]) -> dict[int, tuple[Leak, Leak]]:
    """R^2 (0..1) of each strength as regressions on `fitted` read it in `measured` off the first k components.

    Args:
        fitted, measured: of two sets of images.
        ks: ascending.

    Returns:
        For each k, that off the mean over the image, and that off one cell.
    """
    parts = (fitted.means, measured.means), (fitted.cells, measured.cells)
    of_means, of_cells = (explained_shares(*part, ks, len(STRENGTHS)) for part in parts)
    return {k: (_named(mean), _named(cell)) for k, mean, cell in zip(ks, of_means, of_cells, strict=True)}


def _named(shares: NDArray[np.float64]) -> Leak:
    return dict(zip(STRENGTHS, shares.tolist(), strict=True))


def explained_shares(
    fitted: FeatureMoments, measured: FeatureMoments, ks: Sequence[int], num_targets: int
) -> NDArray[np.float64]:
    """How much of the last columns linear regressions read off the first ones, on rows that they were not fitted on.

    For each k and target, it is the regression of smallest generalised cross-validation error on the fitted rows,
    among ridges and numbers of columns up to k. So columns that say nothing do no harm, however many and however few
    the rows: Golub, Heath and Wahba, *Generalized cross-validation as a method for choosing a good ridge parameter*,
    1979, eq. 1.4.

    Args:
        fitted, measured: moments of the rows to fit and to measure on.
        ks: numbers of columns to read, ascending.
        num_targets: T.

    Returns:
        R^2 of each target, `float64 [len(ks), T]` in 0..1; 0 where a reader does worse than the mean of the targets, or
        where these are all equal.
    """
    targets = slice(-num_targets, None)
    least = np.full(num_targets, np.inf)
    weights = np.zeros((len(fitted.mean) - num_targets, num_targets))
    shares = []
    for k in ks:
        errors, found = _regression(fitted, k, targets)
        better = errors < least
        least, weights[:k] = np.where(better, errors, least), np.where(better, found, weights[:k])
        shares.append(_read_share(fitted, measured, weights, targets))
    return np.stack(shares)


def _regression(fitted: FeatureMoments, k: int, targets: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ridge regression of each target on the first k columns that generalised cross-validation chooses.

    Returns:
        Errors `[T]`, up to a factor that all regressions on the same rows have in common, and weights `[k, T]`.
    """
    squares, axes = np.linalg.eigh(fitted.m2[:k, :k])
    along = axes.T @ fitted.m2[:k, targets]
    squares = squares.clip(min=0)
    # A tiny number stands in where no column varies.
    ridges = RIDGES[:, None] * max(squares.mean(), np.finfo(np.float64).tiny)
    damped = squares + ridges
    residuals = np.diag(fitted.m2)[targets] - (squares + 2 * ridges) / damped**2 @ along**2
    # As many rows as there are, less the mean and what the ridge leaves of the columns.
    freedom = fitted.count - 1 - (squares / damped).sum(axis=1, keepdims=True)
    errors = np.where(freedom > 0, residuals / np.maximum(freedom, 1e-9) ** 2, np.inf)
    return errors.min(axis=0), axes @ (along / damped[errors.argmin(axis=0)].T)


def _read_share(
    fitted: FeatureMoments, measured: FeatureMoments, weights: NDArray[np.float64], targets: slice
) -> NDArray[np.float64]:
    """R^2 of each target in 0..1, read with weights `[K, T]` on rows that they were not fitted on."""
    inputs = slice(len(weights))
    shift = measured.mean - fitted.mean
    bias = shift[targets] - shift[inputs] @ weights
    spread = np.diag(measured.m2)[targets]
    products = measured.m2[inputs, inputs] @ weights - 2 * measured.m2[inputs, targets]
    errors = spread + (products * weights).sum(axis=0) + measured.count * bias**2
    shares: NDArray[np.float64] = 1 - np.divide(errors, spread, out=np.ones_like(spread), where=spread > 0)
    return shares.clip(0, 1)
