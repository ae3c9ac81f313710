"""How many seeds or images it takes to see a gain."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from downstream.statistics import MIN_SEEDS
from downstream.statistics.intervals import Difference

POWER = 0.8
MOST_SEEDS = 1000


def seeds_needed(difference: Difference, gain: float, level: float, power: float = POWER) -> int | None:
    """Seeds in all with which a true gain is found, that is, its interval is above 0, with a probability of `power`.

    The smallest number of at least `MIN_SEEDS` with ``half_width + z(power) * error <= gain``, from the variances
    measured so far (a sample size for a t-test, with the variance of the images as a part that no seed reduces).

    Args:
        difference: between a mix and the baseline, so far.
        gain: of mIoU, 0..1.
        level: two-sided error of the interval.
        power: 0..1.

    Returns:
        The number; None if no number of seeds is enough, or more than `MOST_SEEDS` are needed.
    """
    seeds = np.arange(MIN_SEEDS, MOST_SEEDS + 1)
    seen = difference.half_width(1 - level, seeds) + norm.ppf(power) * np.sqrt(difference.variance(seeds))
    enough = seeds[seen <= gain]
    return int(enough[0]) if len(enough) else None


def images_needed(difference: Difference, images: int, gain: float, level: float, power: float = POWER) -> int:
    """Images with which as many seeds as wanted would find a gain; see `seeds_needed`.

    The part of the variance that stems from the images falls as 1 / images.
    """
    quantile = float(norm.isf(level / 2) + norm.ppf(power))
    return int(np.ceil(images * float(difference.image_variance) * (quantile / gain) ** 2))
