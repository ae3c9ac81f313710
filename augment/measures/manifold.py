"""Precision, recall, density and coverage: how two sets of features cover each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from augment.measures.distances import distance_blocks, require_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

# As in dgm-eval.
NEAREST = 5


@dataclass(frozen=True)
class Manifold:
    """How synthetic images cover the real ones, by their nearest neighbours.

    Attributes:
        precision: share of the synthetic vectors within the radius of any real one, 0..1. A radius is the distance of
            a vector to its k-th nearest neighbour in its own set.
        recall: share of the real vectors within the radius of any synthetic one, 0..1.
        density: mean number of the real vectors whose radius a synthetic one is within, divided by k; at least 0, and 1
            is expected of two samples of one distribution.
        coverage: share of the real vectors with any synthetic one within their radius, 0..1. Two samples of one
            distribution are expected to reach 1 - 2^-k nearly.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(real: NDArray[np.floating], synthetic: NDArray[np.floating], nearest: int = NEAREST) -> Manifold:
    """How well synthetic features cover real ones.

    Precision and recall: Kynkaanniemi et al., *Improved precision and recall metric for assessing generative models*,
    2019. Density and coverage: Naeem et al., *Reliable fidelity and diversity metrics for generative models*, 2020.

    Args:
        real: `float [N, D]`, N > `nearest`.
        synthetic: `float [M, D]`, M > `nearest`.
        nearest: k, the neighbour that gives the radius.

    Raises:
        ValueError: there are fewer vectors, or a number is not finite.
    """
    require_vectors(real, synthetic, least=nearest + 1)
    real_radii, synthetic_radii = radii(real, nearest), radii(synthetic, nearest)
    inside = np.zeros(len(synthetic), np.int64)
    recalled, covered = 0, 0
    for rows, distances in distance_blocks(real, synthetic):
        within = distances <= real_radii[rows, None]
        inside += within.sum(axis=0)
        covered += int(within.any(axis=1).sum())
        recalled += int((distances <= synthetic_radii).any(axis=1).sum())
    return Manifold(
        precision=float((inside > 0).mean()),
        recall=recalled / len(real),
        density=float(inside.mean() / nearest),
        coverage=covered / len(real),
    )


def radii(vectors: NDArray[np.floating], nearest: int = NEAREST) -> NDArray[np.float64]:
    """Distance `float64 [N]` of each vector to its k-th nearest neighbour among the others."""
    found = np.empty(len(vectors))
    for rows, distances in distance_blocks(vectors, vectors):
        # The first of the sorted distances is that of a vector to itself.
        found[rows] = np.partition(distances, nearest, axis=1)[:, nearest]
    return found
