"""Mergeable moments of feature vectors: of images, and of the same places in several views."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np

from augment.layouts.position import PositionMoments
from augment.layouts.rows import as_rows, on_host, rows_of_maps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import torch
    from numpy.typing import NDArray

    from augment.layouts.rows import Rows

# Cells of images whose features are held in float64 at once, for each of their views.
PLACES = 8192


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
        return cls._of_rows(as_rows(features))

    @classmethod
    def _of_rows(cls, rows: Rows) -> FeatureMoments:
        mean = rows.mean(0)
        centred = rows - mean
        return cls(len(rows), on_host(mean), on_host(centred.T @ centred))

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
    def of(
        cls,
        images: NDArray[np.floating] | torch.Tensor,
        copies: NDArray[np.floating] | Sequence[NDArray[np.floating] | torch.Tensor],
    ) -> SceneMoments:
        """Moments of feature maps, accumulated in float64; those of tensors on their device.

        In float64 it holds the views of a few images at once, of `PLACES` cells in all or of one image.

        Args:
            images: features of the images, `[B, C, h, w]`, B of 1 or more.
            copies: features of V photometric copies of each, `[V, B, C, h, w]`; V may be 0.

        Raises:
            NotFinite: a feature is NaN or infinite.
        """
        few = max(1, PLACES // math.prod(images.shape[2:]))
        parts = (slice(start, start + few) for start in range(0, len(images), few))
        return cls.merged(cls._of_few(images[part], [copy[part] for copy in copies]) for part in parts)

    @classmethod
    def _of_few(
        cls,
        images: NDArray[np.floating] | torch.Tensor,
        copies: Sequence[NDArray[np.floating] | torch.Tensor],
    ) -> SceneMoments:
        height, width = images.shape[2:]
        views = [rows_of_maps(view) for view in (images, *copies)]
        own = FeatureMoments._of_rows(views[0])
        if len(views) == 1:
            return cls(own, own, np.zeros_like(own.m2), PositionMoments.of(views[0], height, width))
        mean = reduce(add, views) / len(views)
        deviations = (view - mean for view in views)
        within = on_host(reduce(add, (rows.T @ rows for rows in deviations)) / (len(views) - 1))
        return cls(own, FeatureMoments._of_rows(mean), within, PositionMoments.of(mean, height, width))

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

    def scaled(self, scale: NDArray[np.float64]) -> SceneMoments:
        """Moments of the same features, each channel times its factor in `scale [C]`."""
        return SceneMoments(
            self.images.scaled(scale),
            self.scene.scaled(scale),
            self.within * np.outer(scale, scale),
            PositionMoments(self.position.gram, self.position.cross * scale),
        )
