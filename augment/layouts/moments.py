"""Mergeable moments of feature vectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import torch

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
    def of(cls, features: NDArray[np.floating] | torch.Tensor) -> FeatureMoments:
        """Moments of the rows of `features [N, C]`, accumulated in float64; those of a tensor on its device.

        Raises:
            NotFinite: a feature is NaN or infinite.
        """
        if isinstance(features, torch.Tensor) and features.device.type not in ("cpu", "mps"):
            count, mean, m2, broken = moments_on_device(features)
        else:
            # The CPU is faster through NumPy, which computes half of a symmetric product; Apple's GPUs lack float64.
            rows = np.asarray(features.cpu() if isinstance(features, torch.Tensor) else features, dtype=np.float64)
            broken = int((~np.isfinite(rows)).any(axis=1).sum())
            mean = rows.mean(axis=0)
            centred = rows - mean
            count, m2 = len(rows), centred.T @ centred
        if broken:
            raise NotFinite(
                f"{broken} of {count} feature vectors hold NaN or infinite values: the backbone's weights are "
                "damaged; get the model again"
            )
        return cls(count, mean, m2)

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

    def scaled(self, scale: NDArray[np.float64]) -> FeatureMoments:
        """Moments of the same vectors, each channel times its factor in `scale [C]`."""
        return FeatureMoments(self.count, self.mean * scale, self.m2 * np.outer(scale, scale))


def moments_on_device(features: torch.Tensor) -> tuple[int, NDArray[np.float64], NDArray[np.float64], int]:
    """Count, mean, centred second moment and number of rows that are not finite of `features [N, C]`.

    All is computed in float64 on the device of the features; only the sums leave it.
    """
    rows = features.double()
    broken = (~torch.isfinite(rows)).any(dim=1).sum()
    mean = rows.mean(dim=0)
    centred = rows - mean
    m2 = centred.T @ centred
    return len(rows), mean.cpu().numpy(), m2.cpu().numpy(), int(broken)
