"""The Frechet distance between two sets of features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from augment.measures.distances import require_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Vectors of each set for each dimension. Two samples of N vectors of one normal distribution in D equal dimensions are
# about (D + 5) / 2N of its total variance apart: here a quarter.
LEAST_PER_DIMENSION = 2


def least_images(dimensions: int) -> int:
    """How many vectors of each set a Frechet distance in this many dimensions needs.

    With fewer than D + 1 the covariances have no full rank, and with few more the distance is mostly bias.
    """
    return LEAST_PER_DIMENSION * dimensions


def frechet_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """The squared Frechet distance between normal distributions with the means and covariances of two sets.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), with the unbiased covariances: Dowson and Landau, *The Frechet distance
    between multivariate normal distributions*, 1982. On features of images: Heusel et al., *GANs trained by a two
    time-scale update rule*, 2017 (FID); on those of DINOv2: Stein et al., *Exposing flaws of generative model
    evaluation metrics*, 2023 (FD, as in their dgm-eval). It is biased upwards, the more so
    the fewer vectors there are, so it is read beside that of two sets of real images of the same number.

    Args:
        first: `float [N, D]`.
        second: `float [M, D]`.

    Returns:
        At least 0, in squared units of the features.

    Raises:
        ValueError: there are fewer vectors than `least_images(D)`, or a number is not finite.
    """
    require_vectors(first, second, least=least_images(first.shape[1]))
    return frechet_of_moments(*moments(first), *moments(second))


def moments(features: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean `float64 [D]` and unbiased covariance `float64 [D, D]` of `float [N, D]`."""
    values = np.asarray(features, np.float64)
    return values.mean(axis=0), np.atleast_2d(np.cov(values, rowvar=False))


def frechet_of_moments(
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    other_mean: NDArray[np.float64],
    other_covariance: NDArray[np.float64],
) -> float:
    """The same of two means `float64 [D]` and covariances `float64 [D, D]`."""
    # Between two factors of the one covariance the product is symmetric, so its eigenvalues are real and stable.
    own, directions = np.linalg.eigh(covariance)
    root = directions * np.sqrt(np.clip(own, 0, None))
    values = np.linalg.eigvalsh(root.T @ other_covariance @ root)
    shared = np.sqrt(np.clip(values, 0, None)).sum()
    distance = ((mean - other_mean) ** 2).sum() + np.trace(covariance) + np.trace(other_covariance) - 2 * shared
    return float(max(distance, 0.0))
