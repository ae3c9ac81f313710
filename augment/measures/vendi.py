"""The Vendi score: how many different images a set is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from augment.measures.distances import require_vectors
from augment.measures.kernels import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray


def vendi_score(features: NDArray[np.floating]) -> float:
    """The exponential of the entropy of the eigenvalues of K / N, where K is the cosine similarity of all pairs.

    Friedman and Dieng, *The Vendi score: a diversity evaluation metric for machine learning*, 2023. It is 1 for
    identical vectors and N for orthogonal ones. It grows with N, so only sets of one size compare.

    Args:
        features: `float [N, D]`; no vector is all zeros.

    Returns:
        1 to min(N, D).

    Raises:
        ValueError: there is no vector, one is all zeros, or a number is not finite.
    """
    require_vectors(features)
    vectors = unit(features)
    if not vectors.any(axis=1).all():
        raise ValueError("a vector is all zeros, so it has no direction to compare")
    # The products of rows and those of columns have the same eigenvalues but for zeros.
    products = vectors @ vectors.T if len(vectors) <= vectors.shape[1] else vectors.T @ vectors
    values = np.linalg.eigvalsh(products / len(vectors))
    values = values[values > 0]
    return float(np.exp(-(values * np.log(values)).sum()))
