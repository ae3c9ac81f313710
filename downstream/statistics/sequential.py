"""How the error of a comparison is spent where it is looked at after every seed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from downstream.statistics import CONFIDENCE, MIN_SEEDS

_GRID = 1201
# The recursion takes the variance for known. With the spread of few seeds, 3 to 20, looks found chance effects in up to
# 6.7 % where 5 % were allowed, so they are given this part of what is allowed (docs/statistics.md).
_PART = 0.75


@lru_cache
def look_levels(most: int, alpha: float = 1 - CONFIDENCE) -> dict[int, float]:
    """The two-sided level to test at after each number of seeds, so that all looks together err at most at `alpha`.

    The error is spent as O'Brien and Fleming's boundary would (Lan and DeMets 1983, Biometrika 70:659): almost nothing
    at first, most of it at the end. The boundary of each look is found by recursive integration (Armitage, McPherson
    and Rowe 1969, JRSS A 132:235) for a mean of known variance, and its level is used with the quantile of the interval
    (Jennison and Turnbull 2000, Group Sequential Methods, chapter 11). The images, the same in all looks, correlate
    these more than the recursion assumes; that errs on the safe side.

    Args:
        most: seeds at the last look; the first is after `MIN_SEEDS`.
        alpha: of all looks.

    Returns:
        Number of seeds -> level, from `MIN_SEEDS` to `most`.
    """
    if most <= MIN_SEEDS:
        return {most: alpha}
    seeds = range(MIN_SEEDS, most + 1)
    found = boundaries([count / most for count in seeds], _PART * alpha)
    return {count: float(2 * norm.sf(bound)) for count, bound in zip(seeds, found, strict=True)}


def level_at(seeds: int, looks: int | None) -> float:
    """The two-sided level of all decisions together that are made on a number of seeds.

    Args:
        seeds: that there are.
        looks: seeds at the last look; None where there is one look.
    """
    once = 1 - CONFIDENCE
    return once if looks is None else look_levels(looks).get(seeds, once)


def boundaries(times: Sequence[float], alpha: float) -> list[float]:
    """Bounds of the absolute standard normal statistic of a mean at each look.

    Args:
        times: shares of all observations that are there at each look, ascending to 1.
        alpha: probability to pass any of the bounds.
    """
    found: list[float] = []
    places = density = np.empty(0)
    before = spent = 0.0
    for now in times:
        step = now - before
        # Each side spends half, as it would in a one-sided test.
        share = float(4 * norm.sf(norm.isf(alpha / 4) / np.sqrt(now)))
        bound = float(brentq(_excess, 0, 40, args=(places, density, step, now, share - spent)))
        grid = np.linspace(-bound, bound, _GRID) * np.sqrt(now)
        density = _density(grid, places, density, step)
        places, before, spent = grid, now, share
        found.append(bound)
    return found


def _excess(bound: float, places: np.ndarray, density: np.ndarray, step: float, now: float, allowed: float) -> float:
    """Probability that the sum first passes a bound at this look, less what is allowed."""
    edge = bound * np.sqrt(now)
    if not len(places):
        return float(2 * norm.sf(edge / np.sqrt(step))) - allowed
    past = norm.sf((edge - places) / np.sqrt(step)) + norm.sf((edge + places) / np.sqrt(step))
    return float(np.trapezoid(past * density, places)) - allowed


def _density(grid: np.ndarray, places: np.ndarray, density: np.ndarray, step: float) -> np.ndarray:
    """Density of the sum at this look, where no look before has passed its bound."""
    if not len(places):
        return np.asarray(norm.pdf(grid, scale=np.sqrt(step)))
    return np.asarray(np.trapezoid(norm.pdf(grid[:, None] - places, scale=np.sqrt(step)) * density, places, axis=1))
