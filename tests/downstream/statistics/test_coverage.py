"""Intervals and decisions on simulated runs; `benchmarks/interval_coverage.py` prints the whole table."""

from __future__ import annotations

import numpy as np
import pytest

from downstream.statistics.intervals import seed_difference
from downstream.statistics.jackknife import class_iou
from downstream.statistics.sequential import look_levels
from downstream.statistics.simulation import World, covered, found_by_chance, simulated

RUNS = 2000
# Standard error of a share of 5 % of the runs.
ERROR = 0.005
SEEDS_VARY, BOTH_VARY = World(seed_effect=0.4, image_effect=0.1), World()
IMAGES_VARY = World(seed_effect=0.05, image_effect=0.6)
RARE = World(presence=(1.0, 1.0, 1.0, 0.5, 0.1, 0.05), image_effect=0.6)
SOME = (-0.2, 0.0, 0.2, 0.3, 0.8, 1.5)
NONE = (0.0,) * 6


@pytest.mark.parametrize(
    ("world", "gain", "seeds", "images"),
    [
        (SEEDS_VARY, NONE, 3, 30),
        (SEEDS_VARY, SOME, 5, 30),
        (BOTH_VARY, NONE, 10, 30),
        (BOTH_VARY, SOME, 3, 30),
        (IMAGES_VARY, SOME, 3, 30),
        (IMAGES_VARY, NONE, 5, 30),
        (IMAGES_VARY, SOME, 10, 30),
        (RARE, SOME, 3, 120),
    ],
)
def test_intervals_of_95_percent_cover_93_to_97_percent(
    world: World, gain: tuple[float, ...], seeds: int, images: int
) -> None:
    gains = np.array([NONE, gain])
    rng = np.random.default_rng(0)
    share, classes = covered(world, gains, RUNS, seeds, images, rng, 0.95, world.expected(gains, rng, 15))
    assert 0.93 - ERROR <= share <= 0.97 + ERROR
    enough = classes[np.array(world.presence) * images >= 10]
    # The extremes of six.
    assert enough.min() >= 0.92 and enough.max() <= 0.98


def test_seeds_or_images_alone_would_cover_too_little() -> None:
    """What the interval is for: neither source of variance may be left out."""
    hits = []
    for areas in simulated(IMAGES_VARY, np.zeros((2, 6)), 500, 10, 30, np.random.default_rng(0)):
        miou = np.nanmean(class_iou(areas.intersection, areas.union), axis=-1)
        of_seeds = seed_difference(miou[:, 1] - miou[:, 0])
        hits.append(np.abs(of_seeds.mean) <= of_seeds.half_width(0.95))
    assert np.concatenate(hits).mean() < 0.6


@pytest.mark.parametrize(
    ("world", "mixes", "seeds", "looks"),
    [(SEEDS_VARY, 1, 3, False), (SEEDS_VARY, 5, 3, False), (IMAGES_VARY, 3, 3, False), (BOTH_VARY, 2, 4, True)],
)
def test_chance_is_taken_for_an_effect_in_at_most_5_percent(world: World, mixes: int, seeds: int, looks: bool) -> None:
    share = found_by_chance(world, mixes, RUNS, seeds, 30, np.random.default_rng(1), looks=looks)
    assert 0.01 < share <= 0.05 + ERROR


@pytest.mark.parametrize("most", [4, 10])
def test_looks_at_the_spread_of_few_seeds_keep_the_error(most: int) -> None:
    """One of eight mixes, which has an eighth of the error; the bounds alone would spend 5.8 and 6.7 %."""
    gains = np.random.default_rng(0).normal(size=(200_000, most))
    found = np.zeros(len(gains), bool)
    for seeds, level in look_levels(most).items():
        difference = seed_difference(gains[:, :seeds])
        found |= np.abs(difference.mean) > difference.half_width(1 - level / 8)
    assert 0.04 < 8 * found.mean() <= 0.052
