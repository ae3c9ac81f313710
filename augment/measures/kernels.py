"""Distances between two sets of features by kernels: the kernel distance and CMMD."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from augment.measures.distances import BLOCK, require_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

# From `float64 [N, D]` and `float64 [M, D]` to `float64 [N, M]`.
Kernel: TypeAlias = "Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]"
# As in Jayasumana et al.
CMMD_SIGMA, CMMD_SCALE = 10.0, 1000.0


def kernel_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """The unbiased squared maximum mean discrepancy with the kernel (x.y / D + 1)^3, over all pairs of vectors.

    The measure of Binkowski et al., *Demystifying MMD GANs*, 2018 (KID), of which dgm-eval averages subsets. Its
    expectation does not depend on the number of vectors: 0 for two samples of one distribution. So it may be negative.

    Args:
        first: `float [N, D]`, N >= 2.
        second: `float [M, D]`, M >= 2.

    Raises:
        ValueError: there are fewer, or a number is not finite.
    """
    return unbiased_mmd(first, second, polynomial)


def cmmd(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """The CLIP maximum mean discrepancy of two sets of CLIP embeddings of images.

    Jayasumana et al., *Rethinking FID: towards a better evaluation metric for image generation*, 2024: the squared
    discrepancy of vectors of length 1 with the kernel exp(-|x - y|^2 / 2 sigma^2), sigma = 10, times 1000. This is the
    unbiased estimator; their code counts each vector's similarity to itself too, a bias of at most 0.4 at 100 images.

    Args:
        first: `float [N, D]`, N >= 2; scaled to length 1 here.
        second: `float [M, D]`, M >= 2.

    Raises:
        ValueError: there are fewer, or a number is not finite.
    """
    require_vectors(first, second, least=2)
    return CMMD_SCALE * unbiased_mmd(unit(first), unit(second), gaussian)


def unbiased_mmd(first: NDArray[np.floating], second: NDArray[np.floating], kernel: Kernel) -> float:
    """The unbiased squared maximum mean discrepancy: Gretton et al., *A kernel two-sample test*, 2012, lemma 6.

    Args:
        first: `float [N, D]`, N >= 2.
        second: `float [M, D]`, M >= 2.
        kernel: symmetric, of two blocks of vectors.

    Raises:
        ValueError: there are fewer vectors, or a number is not finite.
    """
    require_vectors(first, second, least=2)
    within = _mean_of_pairs(first, kernel) + _mean_of_pairs(second, kernel)
    return within - 2 * _sum(first, second, kernel) / (len(first) * len(second))


def polynomial(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """The kernel of the kernel distance."""
    return (first @ second.T / first.shape[1] + 1) ** 3


def gaussian(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """The kernel of CMMD."""
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    return np.exp(-squares / (2 * CMMD_SIGMA**2))


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Vectors `float [N, D]` at length 1; a vector of zeros stays one."""
    values = np.asarray(vectors, np.float64)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, norms, out=np.zeros_like(values), where=norms > 0)


def _mean_of_pairs(vectors: NDArray[np.floating], kernel: Kernel) -> float:
    """Mean over all pairs of two different vectors."""
    count, own = len(vectors), 0.0
    for start in range(0, count, BLOCK):
        rows = np.asarray(vectors[start : start + BLOCK], np.float64)
        own += float(np.trace(kernel(rows, rows)))
    return (_sum(vectors, vectors, kernel) - own) / (count * (count - 1))


def _sum(first: NDArray[np.floating], second: NDArray[np.floating], kernel: Kernel) -> float:
    others = np.asarray(second, np.float64)
    starts = range(0, len(first), BLOCK)
    return sum(float(kernel(np.asarray(first[i : i + BLOCK], np.float64), others).sum()) for i in starts)
