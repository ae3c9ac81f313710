"""Whether synthetic images are copies of training images, by their nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from augment.measures.distances import distance_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Share of the held-out real images that count as near to the training images.
NEAR = 0.05
# Training images that go through the autoencoder, to see which share of such copies the test flags.
RESTORED = 24


@dataclass(frozen=True)
class CopyTest:
    """Distances of synthetic images to their nearest training images against those of real held-out images.

    Attributes:
        nearer: probability that a synthetic image is nearer to the training images than a held-out real one, 0..1.
            0.5 is expected without copying; more means copies.
        threshold: distance that `NEAR` of the held-out images are below.
        flagged: synthetic images `bool [N]` below it. `NEAR` of them are expected without copying.
    """

    nearer: float
    threshold: float
    flagged: NDArray[np.bool_]

    @property
    def share(self) -> float:
        """Share of the images that are flagged, 0..1."""
        return float(self.flagged.mean())


def nearest(
    queries: NDArray[np.floating], gallery: NDArray[np.floating], own: NDArray[np.integer] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest vector of a gallery to each query, other than its own.

    Args:
        queries: `float [N, D]`.
        gallery: `float [M, D]`.
        own: `int [N]`, the place in the gallery of each query's own source, which does not count; -1 has none. None
            lets all count.

    Returns:
        Places in the gallery `int64 [N]` and Euclidean distances `float64 [N]`.

    Raises:
        ValueError: the gallery has nothing but a query's own source, or a number is not finite.
    """
    places, found = np.empty(len(queries), np.int64), np.empty(len(queries))
    for rows, distances in distance_blocks(queries, gallery):
        if own is not None:
            has = np.flatnonzero(own[rows] >= 0)
            distances[has, own[rows][has]] = np.inf
        places[rows] = distances.argmin(axis=1)
        found[rows] = distances.min(axis=1)
    if not np.isfinite(found).all():
        raise ValueError("the gallery holds nothing but a query's own source")
    return places, found


def copy_test(synthetic: NDArray[np.float64], held_out: NDArray[np.float64]) -> CopyTest:
    """Compare the distances of synthetic and of real held-out images to their nearest training images.

    The statistic is that of Meehan et al., *A non-parametric test to detect data-copying in generative models*, 2020,
    without their cells: the Mann-Whitney U, here as the probability that it estimates. Ties count half.

    Args:
        synthetic: distances `float64 [N]`, N >= 1; see `nearest`.
        held_out: the same `float64 [M]` of real images that nothing was trained on, M >= 1 / `NEAR`.

    Raises:
        ValueError: there are fewer.
    """
    if len(synthetic) < 1 or len(held_out) * NEAR < 1:
        raise ValueError(f"a test needs 1 synthetic and {1 / NEAR:.0f} held-out images, got {len(held_out)}")
    ranks = rankdata(np.concatenate([synthetic, held_out]))[len(synthetic) :]
    above = ranks.sum() - len(held_out) * (len(held_out) + 1) / 2
    threshold = float(np.quantile(held_out, NEAR))
    return CopyTest(float(above / (len(synthetic) * len(held_out))), threshold, synthetic < threshold)
