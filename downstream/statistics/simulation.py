"""Simulated evaluations of segmenters, on which intervals and decisions are tested."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from downstream.statistics.intervals import Difference, counted_differences
from downstream.statistics.jackknife import class_iou
from downstream.statistics.sequential import look_levels

_PIXELS = 20_000
# Pixel counts that are held in memory at a time.
_MOST_COUNTS = 1_000_000


class Areas(NamedTuple):
    """Pixels by class, ``int64 [runs, mixes, seeds, images, classes]``; those of the labels have one mix and seed."""

    intersection: NDArray[np.int64]
    union: NDArray[np.int64]
    label: NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """Where simulated evaluations come from. All effects are on the logit of the share of a class that is found.

    Attributes:
        difficulty: mean logit of each class.
        presence: share of the images that have the class.
        seed_effect: standard deviation between seeds, by class; half of its variance is common to all classes.
        image_effect: standard deviation between images, by class, of what one mix finds easier than another.
        interaction: standard deviation between seeds within an image.
    """

    difficulty: tuple[float, ...] = (2.5, 1.5, 1.0, 0.5, 0.0, -0.5)
    presence: tuple[float, ...] = (1.0, 1.0, 1.0, 0.7, 0.4, 0.2)
    seed_effect: float = 0.15
    image_effect: float = 0.3
    interaction: float = 0.3

    def evaluations(
        self, gains: NDArray[np.float64], runs: int, seeds: int, images: int, rng: np.random.Generator
    ) -> Areas:
        """What would be counted in each image.

        Areas in an image have a Dirichlet distribution; an image is as difficult for all mixes and seeds. The share
        that is found of a class in an image has a beta distribution around its mean.

        Args:
            gains: effect of each mix on each class, ``[mixes, classes]``.
            runs: independent simulations.
            seeds: trainings of each mix.
            images: in the validation split, the same for all mixes and seeds of a run.
            rng: random numbers.
        """
        mixes, classes = gains.shape
        of_image = runs, 1, 1, images, classes
        areas = rng.standard_gamma(1.0, of_image) * (rng.random(of_image) < self.presence)
        areas = np.rint(_PIXELS * areas / np.maximum(areas.sum(-1, keepdims=True), 1e-9))
        logit = (
            np.asarray(self.difficulty)
            + gains[:, None, None]
            + rng.normal(0, 0.8, of_image)
            + self.seed_effect * np.sqrt(0.5) * rng.normal(size=(runs, mixes, seeds, 1, classes))
            + self.seed_effect * np.sqrt(0.5) * rng.normal(size=(runs, mixes, seeds, 1, 1))
            + self.image_effect * rng.normal(size=(runs, mixes, 1, images, classes))
            + self.interaction * rng.normal(size=(runs, mixes, seeds, images, classes))
        )
        mean = 1 / (1 + np.exp(-logit))
        intersection = np.rint(areas * rng.beta(20 * mean, 20 * (1 - mean)))
        # What is missed of one class is predicted as another, in proportion to its area in the image and a little more.
        missed = (areas - intersection).sum(-1, keepdims=True)
        likely = areas + 0.01 * _PIXELS
        wrong = np.rint(missed * likely / likely.sum(-1, keepdims=True))
        return Areas(*(part.astype(np.int64) for part in (intersection, areas + wrong, areas)))

    def expected(self, gains: NDArray[np.float64], rng: np.random.Generator, parts: int = 40) -> NDArray[np.float64]:
        """Expected difference of the IoU of each class between two mixes.

        The mean of so many parts, each of 20 seeds and 6000 images.
        """
        if (gains[0] == gains[1]).all():
            return np.zeros(gains.shape[1])
        found = []
        for _ in range(parts):
            areas = self.evaluations(gains, 4, 5, 1500, rng)
            iou = class_iou(areas.intersection, areas.union)
            found.append((iou[:, 1] - iou[:, 0]).mean(axis=(0, 1)))
        return np.mean(found, axis=0)


def simulated(
    world: World, gains: NDArray[np.float64], runs: int, seeds: int, images: int, rng: np.random.Generator
) -> Iterator[Areas]:
    """Evaluations of a number of runs, in parts that fit in memory; see `World.evaluations`."""
    most = max(1, _MOST_COUNTS // (seeds * images * gains.size))
    for start in range(0, runs, most):
        yield world.evaluations(gains, min(most, runs - start), seeds, images, rng)


def against_first(areas: Areas, seeds: int | None = None) -> tuple[Difference, Difference]:
    """The differences of all mixes to the first one, over the first of the seeds, ``[runs, mixes - 1]``."""

    def of_mixes(mixes: slice, classes: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        place = np.s_[:, mixes, :seeds, :, classes]
        return areas.intersection[place], areas.union[place]

    first, others = (partial(of_mixes, mixes) for mixes in (slice(1), slice(1, None)))
    return counted_differences(others, first, areas.label[:, :, 0])


def covered(
    world: World,
    gains: NDArray[np.float64],
    runs: int,
    seeds: int,
    images: int,
    rng: np.random.Generator,
    confidence: float,
    truth: NDArray[np.float64],
) -> tuple[float, NDArray[np.float64]]:
    """Share of the intervals that hold the expected difference between two mixes: of mIoU, and of each class.

    `truth` is the expected difference of each class; see `World.expected`.
    """
    hits, of_classes = [], []
    for areas in simulated(world, gains, runs, seeds, images, rng):
        mean, classes = against_first(areas)
        hits.append(np.abs(mean.mean - truth.mean()) <= mean.half_width(confidence))
        inside = np.abs(classes.mean - truth) <= classes.half_width(confidence)
        of_classes.append(np.where(np.isnan(classes.mean), np.nan, inside))
    return float(np.concatenate(hits).mean()), np.nanmean(np.concatenate(of_classes), axis=(0, 1))


def found_by_chance(
    world: World, mixes: int, runs: int, seeds: int, images: int, rng: np.random.Generator, *, looks: bool
) -> float:
    """Share of comparisons without any effect that find a mix better or worse than the first one.

    Args:
        world: where evaluations come from.
        mixes: compared with the first one.
        runs: number of comparisons.
        seeds: of each mix; with looks the most.
        images: in the validation split.
        rng: random numbers.
        looks: whether results are looked at after every seed.
    """
    levels = look_levels(seeds) if looks else {seeds: look_levels(1)[1]}
    found = []
    for areas in simulated(world, np.zeros((mixes + 1, len(world.difficulty))), runs, seeds, images, rng):
        any_found = np.zeros(len(areas.label), bool)
        for count, level in levels.items():
            difference, _ = against_first(areas, count)
            any_found |= (np.abs(difference.mean) > difference.half_width(1 - level / mixes)).any(axis=1)
        found.append(any_found)
    return float(np.concatenate(found).mean())
