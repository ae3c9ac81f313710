"""A distance of synthetic images beside the same distance of real images, at the same number and of the same scenes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# From real and other features `float [N, D]` to one or several numbers.
Measure: TypeAlias = "Callable[[NDArray[np.floating], NDArray[np.floating]], NDArray[np.float64]]"
SPLITS = 10


@dataclass(frozen=True)
class Floored:
    """A measure of synthetic images and its floor, over several divisions of the sources into halves.

    Attributes:
        value: of images painted on one half of the sources against the photographs of the other half.
        spread: standard deviation over the divisions. All divide the same images, so it says less than new ones would.
        floor: of the photographs of the one half against those of the other.
        floor_spread: the same of the floor.
        images: in each half.
    """

    value: NDArray[np.float64]
    spread: NDArray[np.float64]
    floor: NDArray[np.float64]
    floor_spread: NDArray[np.float64]
    images: int


def against_floor(
    measure: Measure,
    real: NDArray[np.floating],
    synthetic: NDArray[np.floating],
    seed: int = 0,
    splits: int = SPLITS,
) -> Floored:
    """Measure synthetic against real images, and real against real ones, on halves of the sources.

    Value and floor are of the same scenes at the same N, so they differ only in that the images of the one are painted.
    No half holds a source of the other, because an image resembles the photograph that it was painted on.

    Args:
        measure: of real and other features.
        real: features `float [N, D]` of the photographs, N >= 2.
        synthetic: features `float [V, N, D]` of V variants painted on each, in the same order.
        seed: of the divisions.
        splits: number of divisions, at least 2.
    """
    count, rng = len(real) // 2, np.random.default_rng(seed)
    values, floors = [], []
    for _ in range(splits):
        order = rng.permutation(len(real))
        one, other = order[:count], order[count : 2 * count]
        values.append(np.mean([measure(real[other], variant[one]) for variant in synthetic], axis=0))
        floors.append(measure(real[other], real[one]))
    found, real_ones = np.asarray(values, np.float64), np.asarray(floors, np.float64)
    return Floored(
        found.mean(axis=0), found.std(axis=0, ddof=1), real_ones.mean(axis=0), real_ones.std(axis=0, ddof=1), count
    )
