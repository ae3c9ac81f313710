"""Mergeable moments of feature vectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from augment.errors import NotFinite

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


@dataclass(frozen=True)
class FeatureMoments:
    """Count, mean `float64 [C]` and centred second moment `float64 [C, C]` of a set of feature vectors."""

    count: int
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.floating]) -> FeatureMoments:
        """Moments of the rows of `features [N, C]`, accumulated in float64.

        Raises:
            NotFinite: a feature is NaN or infinite.
        """
        rows = np.asarray(features, dtype=np.float64)
        if not np.isfinite(rows).all():
            raise NotFinite(
                f"{int((~np.isfinite(rows)).any(axis=1).sum())} of {len(rows)} feature vectors hold NaN or infinite "
                "values: the backbone's weights are damaged; get the model again"
            )
        mean = rows.mean(axis=0)
        centred = rows - mean
        return cls(len(rows), mean, centred.T @ centred)

    def merge(self, other: FeatureMoments) -> FeatureMoments:
        """Moments of the union of two disjoint sets.

        Chan, Golub and LeVeque, *Updating formulae and a pairwise algorithm for computing sample variances*, 1979.
        """
        count = self.count + other.count
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / count)
        m2 = self.m2 + other.m2 + np.outer(delta, delta) * (self.count * other.count / count)
        return FeatureMoments(count, mean, m2)

    @classmethod
    def merged(cls, parts: Iterable[FeatureMoments]) -> FeatureMoments:
        """Merge parts in their order: a fixed order gives the same bits."""
        return reduce(cls.merge, parts)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Population covariance `float64 [C, C]`."""
        return self.m2 / self.count
