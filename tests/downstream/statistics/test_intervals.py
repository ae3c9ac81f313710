"""Differences between mixes, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from downstream.statistics import intervals
from downstream.statistics.intervals import Areas, Difference, counted_differences, seed_difference
from downstream.statistics.jackknife import class_iou, pseudo_values
from downstream.statistics.sequential import boundaries, look_levels


def part_of(intersection: NDArray[np.integer], union: NDArray[np.integer]) -> Areas:
    return lambda classes: (intersection[..., classes], union[..., classes])


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.floats(0.5, 0.99))
def test_without_images_it_is_a_paired_t_test(gains: list[float], confidence: float) -> None:
    found = seed_difference(np.array(gains))
    assert float(found.mean) == pytest.approx(np.mean(gains))
    if np.std(gains) > 1e-6:
        expected = stats.ttest_1samp(gains, 0).confidence_interval(confidence)
        assert float(found.half_width(confidence)) == pytest.approx((expected.high - expected.low) / 2, rel=1e-6)


def test_without_spread_between_seeds_it_is_a_t_test_over_images() -> None:
    rng = np.random.default_rng(0)
    # One class that fills every image: its IoU is the mean share that is found.
    found, before = rng.integers(200, 900, (2, 40))
    whole = np.full(40, 1000)

    def areas(intersection: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return tuple(np.repeat(of[None, :, None], 3, axis=0) for of in (intersection, whole))  # type: ignore[return-value]

    difference, classes = counted_differences(part_of(*areas(found)), part_of(*areas(before)), whole[:, None])
    gains = (found - before) / 1000
    expected = stats.ttest_1samp(gains, 0).confidence_interval(0.95)
    for of in (difference, Difference(*(part[0] if np.ndim(part) else part for part in vars(classes).values()))):
        assert float(of.mean) == pytest.approx(gains.mean())
        assert float(of.half_width(0.95)) == pytest.approx((expected.high - expected.low) / 2)


def test_pseudo_values_are_those_of_leaving_each_image_out() -> None:
    rng = np.random.default_rng(0)
    intersection = rng.integers(0, 50, (7, 3))
    union = intersection + rng.integers(1, 50, (7, 3))
    # A class in one image alone, and one in none.
    intersection[:, 1:] = union[:, 1:] = 0
    intersection[2, 1], union[2, 1] = 10, 40
    values = pseudo_values(intersection, union)
    for image in range(7):
        rest = np.delete(intersection, image, 0), np.delete(union, image, 0)
        expected = 7 * class_iou(intersection, union)[0] - 6 * class_iou(*rest)[0]
        assert values[image, 0] == pytest.approx(expected)
    assert values[:, 1] == pytest.approx(0.25)
    assert np.isnan(values[:, 2]).all()


def test_a_class_in_no_label_does_not_count() -> None:
    """A mix that predicts one pixel of it would have an IoU of 0 there, and another none at all."""
    rng = np.random.default_rng(0)
    label = np.zeros((5, 2), np.int64)
    label[:, 0] = 100
    found = rng.integers(20, 90, (2, 3, 5))
    areas = [
        (np.stack([of, 0 * of], -1), np.stack([of * 0 + 100, extra + 0 * of], -1))
        for of, extra in zip(found, (7, 0), strict=True)
    ]
    difference, classes = counted_differences(part_of(*areas[0]), part_of(*areas[1]), label)
    assert float(difference.mean) == pytest.approx((found[0] - found[1]).mean() / 100)
    assert np.isnan(classes.mean[1])


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 9))
def test_differences_are_the_same_for_any_number_of_classes_at_a_time(seed: int, at_a_time: int, classes: int) -> None:
    """Rare classes are in one image or none, and some images have no pixel of any."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 40, (2, 6, classes)) * (rng.random((2, 6, classes)) < 0.4)
    right = rng.integers(0, 1 + np.broadcast_to(label[:, None], (2, 2, 3, 6, classes)))
    union = label[:, None] + rng.integers(0, 9, right.shape[1:])
    arms = [part_of(of.astype(np.int32), union.astype(np.int32)) for of in right]
    with pytest.MonkeyPatch.context() as patch, np.errstate(invalid="ignore"):
        patch.setattr(intervals, "_MOST_COUNTS", at_a_time)
        found = counted_differences(*arms, label.astype(np.int32))
        # All at once, and in wider integers.
        patch.setattr(intervals, "_MOST_COUNTS", 10**9)
        whole = counted_differences(*(part_of(of, union) for of in right), label)
    for one, other in zip(found, whole, strict=True):
        for part, expected in zip(vars(one).values(), vars(other).values(), strict=True):
            np.testing.assert_allclose(part, expected, rtol=1e-9, atol=1e-12)
    # The mean over classes is that of the classes that occur.
    occurs = label.any(axis=-2)
    means = [of[here].mean() for of, here in zip(found[1].mean, occurs, strict=True) if here.any()]
    np.testing.assert_allclose(found[0].mean[occurs.any(axis=-1)], means, atol=1e-12)


def test_boundaries_are_the_published_ones_of_obrien_and_fleming_s_spending() -> None:
    # Reboussin, DeMets, Kim and Lan 2000, Controlled Clinical Trials 21:190: five equal looks at 5 %.
    np.testing.assert_allclose(
        boundaries([0.2, 0.4, 0.6, 0.8, 1], 0.05), [4.8769, 3.3569, 2.6803, 2.2898, 2.0310], atol=3e-4
    )


def test_one_look_has_the_whole_error_and_several_share_it() -> None:
    assert look_levels(3) == {3: pytest.approx(0.05)}
    levels = look_levels(8)
    assert list(levels) == [3, 4, 5, 6, 7, 8]
    assert sorted(levels.values()) == list(levels.values())
    assert levels[8] < 0.05 < sum(levels.values())
