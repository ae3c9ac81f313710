"""Mergeable moments of feature vectors: of images, and of the same places in several views."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from augment.errors import NotFinite
from augment.layouts.position import PositionMoments

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
        rows = _finite(features)
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


@dataclass(frozen=True)
class SceneMoments:
    """Moments of places that are seen in an image and in photometric copies of it.

    Attributes:
        images: of the features of the images themselves.
        scene: of the mean of each place over its views, the image and its copies: what is there.
        within: `float64 [C, C]`, sum over places of the sample covariance of the views of a place: how it looks.
        position: what the position explains of the mean over the views.
    """

    images: FeatureMoments
    scene: FeatureMoments
    within: NDArray[np.float64]
    position: PositionMoments

    @classmethod
    def of(cls, images: NDArray[np.floating], copies: NDArray[np.floating]) -> SceneMoments:
        """Moments of feature maps, accumulated in float64.

        Args:
            images: features of the images, `[B, C, h, w]`.
            copies: features of V photometric copies of each, `[V, B, C, h, w]`; V may be 0.

        Raises:
            NotFinite: a feature is NaN or infinite.
        """
        grid = images.shape[2:]
        views = [_finite(view.transpose(0, 2, 3, 1).reshape(-1, images.shape[1])) for view in (images, *copies)]
        own = FeatureMoments.of(views[0])
        if len(views) == 1:
            return cls(own, own, np.zeros_like(own.m2), PositionMoments.of(views[0], *grid))
        mean = reduce(np.add, views) / len(views)
        deviations = (view - mean for view in views)
        within = reduce(np.add, (rows.T @ rows for rows in deviations)) / (len(views) - 1)
        return cls(own, FeatureMoments.of(mean), within, PositionMoments.of(mean, *grid))

    def merge(self, other: SceneMoments) -> SceneMoments:
        """Moments of the union of two disjoint sets."""
        return SceneMoments(
            self.images.merge(other.images),
            self.scene.merge(other.scene),
            self.within + other.within,
            self.position.merge(other.position),
        )

    @classmethod
    def merged(cls, parts: Iterable[SceneMoments]) -> SceneMoments:
        """Merge parts in their order: a fixed order gives the same bits."""
        return reduce(cls.merge, parts)

    @property
    def appearance(self) -> NDArray[np.float64]:
        """Covariance `float64 [C, C]` within the views of one place."""
        return self.within / self.images.count


def _finite(features: NDArray[np.floating]) -> NDArray[np.float64]:
    """The rows of `features [N, C]` in float64.

    Raises:
        NotFinite: a feature is NaN or infinite.
    """
    rows = np.asarray(features, dtype=np.float64)
    if not np.isfinite(rows).all():
        raise NotFinite(
            f"{int((~np.isfinite(rows)).any(axis=1).sum())} of {len(rows)} feature vectors hold NaN or infinite "
            "values: the backbone's weights are damaged; get the model again"
        )
    return rows
