"""How the gain of synthetic images grows with their number, where that ends, and what an hour of work gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from augment.errors import UserError
from downstream.statistics import CONFIDENCE, MIN_SEEDS
from downstream.statistics.summary import Interval

# Share of the limit at which growth counts as ended.
_ENDED = 0.9
# The half is looked for from a hundredth of the smallest number of images to a hundred times the largest.
_HALVES, _BEYOND = 801, 100


@dataclass(frozen=True)
class Growth:
    """Gain of n synthetic images, as ``limit * n / (n + half)``.

    Attributes:
        limit: gain of mIoU with any number of images, 0..1.
        half: number of images that has half of it.
        most: largest number of images that was measured.
        at_most: fitted gain there, with its interval over seeds.
        doubled: fitted further gain of twice as many, with its interval over seeds.
        slowest: the largest `half` of all fits with one of the seeds left out.
    """

    limit: float
    half: float
    most: int
    at_most: tuple[float, Interval]
    doubled: tuple[float, Interval]
    slowest: float

    def __call__(self, images: float) -> float:
        """The fitted gain of a number of images."""
        return self.limit * images / (images + self.half)

    @property
    def ends_at(self) -> int | None:
        """Images with nine tenths of the limit; None where that is not determined.

        It is not if they are more than ten times what was measured, by the fit to all seeds or to all but one.
        """
        images, slowest = (half * _ENDED / (1 - _ENDED) for half in (self.half, max(self.half, self.slowest)))
        return round(images) if slowest <= 10 * self.most else None


def fit_growth(gains: Mapping[int, Sequence[float]]) -> Growth:
    """Fit how the gain grows, by least squares.

    The law has no gain without images and a limit; with three or four numbers of images more parameters cannot be
    determined. Intervals are from jackknife pseudo-values of the seeds, with Student's t (Tukey 1958): a bootstrap over
    so few seeds would cover too little.

    Args:
        gains: number of synthetic images -> difference of mIoU to real alone, by seed, in the same order for all.

    Raises:
        UserError: there are fewer than three numbers of images, fewer than `MIN_SEEDS` seeds, or seeds are missing.
    """
    images = np.array(sorted(gains), np.float64)
    if len(images) < 3 or images[0] <= 0:
        raise UserError(f"a growth is fitted to three numbers of synthetic images or more, not to {sorted(gains)}")
    seeds = {len(of) for of in gains.values()}
    if len(seeds) > 1 or min(seeds) < MIN_SEEDS:
        raise UserError(f"a growth takes the same {MIN_SEEDS} seeds or more for each number of images")
    table = np.array([gains[int(number)] for number in images], np.float64)
    most = float(images[-1])

    def values(of: NDArray[np.float64]) -> NDArray[np.float64]:
        limit, half = _fit(images, of.mean(axis=1))
        at, twice = (limit * number / (number + half) for number in (most, 2 * most))
        return np.array([at, twice - at])

    limit, half = _fit(images, table.mean(axis=1))
    count = table.shape[1]
    whole = values(table)
    pseudo = np.stack([count * whole - (count - 1) * values(np.delete(table, seed, 1)) for seed in range(count)])
    errors = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * pseudo.std(axis=0, ddof=1) / np.sqrt(count)
    at_most, doubled = (
        (float(value), (float(value - error), float(value + error))) for value, error in zip(whole, errors, strict=True)
    )
    slowest = max(_fit(images, np.delete(table, seed, 1).mean(axis=1))[1] for seed in range(count))
    return Growth(limit, half, int(most), at_most, doubled, slowest)


def gain_per_hour(gain: float, interval: Interval | None, seconds: float) -> tuple[float, Interval | None]:
    """Gain of mIoU for an hour of generating, curating and training, above what real data alone takes.

    Args:
        gain: of mIoU, 0..1.
        interval: of the gain.
        seconds: that the mix took more than the baseline, summed over the devices; above 0.
    """
    hours = seconds / 3600
    return gain / hours, None if interval is None else (interval[0] / hours, interval[1] / hours)


def _fit(images: NDArray[np.float64], gains: NDArray[np.float64]) -> tuple[float, float]:
    """Limit and half with the least squares; for each half of a grid, the limit has a closed form."""
    halves = np.geomspace(images[0] / _BEYOND, images[-1] * _BEYOND, _HALVES)[:, None]
    shares = images / (images + halves)
    limits = (shares @ gains) / (shares**2).sum(axis=1)
    best = int(np.argmin(((limits[:, None] * shares - gains) ** 2).sum(axis=1)))
    return float(limits[best]), float(halves[best, 0])
