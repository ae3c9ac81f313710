"""The difference between two mixes, and an interval of it over seeds and images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from downstream.statistics.jackknife import class_iou, pseudo_values

# Intersection and union, int [..., S, N, C] each, of some of the C classes by seed and image.
Areas: TypeAlias = Callable[[slice], tuple[NDArray[np.integer], NDArray[np.integer]]]
# A variance of IoU below this is rounding, and has no degrees of freedom.
_ROUNDING = 1e-20
# Images times classes that are worked on at a time.
_MOST_COUNTS = 200_000
# With Cochran's weights as they are, intervals from three seeds cover up to 97.2 %; see docs/statistics.md.
_WEIGHT_POWER = 1.2


@dataclass(frozen=True)
class Difference:
    """Mean difference of a score between a mix and the baseline; all fields but `seeds` have the score's shape.

    Attributes:
        mean: over the seeds.
        seed_variance: variance of the difference of one seed, on these images.
        image_variance: variance of the mean over seeds that stems from which images there are; 0 where single images
            are unknown, so that they count as given.
        seeds: number of them, each with a score of both mixes; at least 2.
        freedom: degrees of freedom of `image_variance`.
    """

    mean: NDArray[np.float64]
    seed_variance: NDArray[np.float64]
    image_variance: NDArray[np.float64]
    seeds: int
    freedom: NDArray[np.float64]

    def variance(self, seeds: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Variance of the mean, over seeds and images; expected with other numbers of seeds if these are given."""
        return self.seed_variance / (self.seeds if seeds is None else seeds) + self.image_variance

    def half_width(self, confidence: float, seeds: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Half the width of the interval around the mean that holds the expected difference with this probability.

        The quantile is between those of Student's t for seeds and for images, weighted by the shares of the variance
        (Cochran 1964, Biometrics 20:191; here with the share of the seeds to the power 1.2). Satterthwaite's degrees of
        freedom would be too many at two and three seeds: they grow when the spread of the seeds happens to be small.
        With other numbers of seeds than there are, it is the width to expect.
        """
        tail = (1 + confidence) / 2
        of_seeds = stats.t.ppf(tail, (self.seeds if seeds is None else seeds) - 1)
        of_images = stats.t.ppf(tail, self.freedom)
        variance = self.variance(seeds)
        of_seed = variance - self.image_variance
        share = np.divide(of_seed, variance, out=np.ones_like(variance), where=variance > 0)
        return (of_images + (of_seeds - of_images) * share**_WEIGHT_POWER) * np.sqrt(variance)


def seed_difference(gains: NDArray[np.float64]) -> Difference:
    """The difference where single images are unknown, from those of each seed, ``[..., S]``; images count as given."""
    nothing = np.zeros(gains.shape[:-1])
    return Difference(gains.mean(-1), gains.var(-1, ddof=1), nothing, gains.shape[-1], nothing + np.inf)


def counted_differences(mix: Areas, baseline: Areas, label: NDArray[np.integer]) -> tuple[Difference, Difference]:
    """The difference of mIoU, over the classes that occur in the labels, and that of the IoU of each class.

    Some classes at a time: what is computed of each image is eight times as large as what was counted in it.

    Args:
        mix: the areas ``[..., S, N, C]``, S at least 2.
        baseline: those of the baseline, for the same seeds and images.
        label: pixels of each class in the labels, ``[..., N, C]``.

    Returns:
        The difference of mIoU, of shape ``[...]``, and of the IoU, ``[..., C]``; NaN for a class in no label.
    """
    occurs, gains, values = label.sum(axis=-2) > 0, 0.0, 0.0
    parts = []
    at_a_time = max(1, _MOST_COUNTS // max(label[..., 0].size, 1))
    for start in range(0, label.shape[-1], at_a_time):
        place = slice(start, start + at_a_time)
        of_mix, of_baseline, within = mix(place), baseline(place), occurs[..., place]
        gain = np.where(within[..., None, :], class_iou(*of_mix) - class_iou(*of_baseline), np.nan)
        value = np.where(within[..., None, None, :], pseudo_values(*of_mix) - pseudo_values(*of_baseline), np.nan)
        gains, values = gains + np.nansum(gain, axis=-1), values + np.nansum(value, axis=-1)
        freedom = np.maximum((label[..., place] > 0).sum(axis=-2) - 1, 1)
        parts.append(_difference(np.moveaxis(gain, -1, -2), np.moveaxis(value, -1, -3), freedom))
    classes = _side_by_side(parts)
    # Degrees of freedom of a mean of classes by Satterthwaite (1946, Biometrics Bulletin 2:110): a class in few images,
    # which has much of the variance, leaves few.
    squares = np.nansum(classes.image_variance**2 / classes.freedom, axis=-1)
    total = np.nansum(classes.image_variance, axis=-1)
    most = max(label.shape[-2] - 1.0, 1.0)
    freedom = np.divide(total**2, squares, out=np.full(total.shape, most), where=squares > _ROUNDING**2).clip(1, most)
    # NaN without any class.
    count = np.where(occurs.any(axis=-1), occurs.sum(axis=-1), np.nan)
    return _difference(gains / count[..., None], values / count[..., None, None], freedom), classes


def _side_by_side(parts: Sequence[Difference]) -> Difference:
    """The differences of all classes, from those of some of them each."""
    names = ("mean", "seed_variance", "image_variance", "freedom")
    joined = {name: np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in names}
    return Difference(**joined, seeds=parts[0].seeds)


def _difference(gains: NDArray[np.float64], values: NDArray[np.float64], freedom: NDArray[np.float64]) -> Difference:
    """The difference from the pseudo-values of seeds and images, ``[..., S, N]``.

    They are a two-way layout of seeds and images, both random (Dorfman, Berbaum and Metz 1992, Investigative Radiology
    27:723, with seeds for readers and images for cases). With its mean squares of seeds, images and interaction, the
    variance of the mean is ``(MS_seeds + max(MS_images - MS_interaction, 0)) / (S N)`` (Hillis 2007, Statistics in
    Medicine 26:596): the spread between the seeds holds the interaction already.
    """
    seeds, images = values.shape[-2:]
    of_image = values.mean(axis=-2, keepdims=True)
    rest = values - of_image - values.mean(axis=-1, keepdims=True) + of_image.mean(axis=-1, keepdims=True)
    interaction = (rest**2).sum(axis=(-2, -1)) / ((seeds - 1) * max(images - 1, 1))
    between = seeds * ((of_image - of_image.mean(axis=-1, keepdims=True)) ** 2).sum(axis=(-2, -1)) / max(images - 1, 1)
    image_variance = np.maximum(between - interaction, 0) / (seeds * images)
    return Difference(gains.mean(-1), gains.var(-1, ddof=1), image_variance, seeds, np.asarray(freedom, np.float64))
