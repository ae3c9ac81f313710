"""Hard layouts get more images than easy ones, and the total stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.filtering import LossHistogram
from augment.hardness import hardness_of, images_by_hardness


@given(st.data())
def test_total_is_kept_and_harder_sources_never_have_fewer(data: st.DataObject) -> None:
    fewest = data.draw(st.integers(0, 5))
    most = fewest + data.draw(st.integers(2, 30))
    mean = data.draw(st.integers(fewest + 1, most - 1))
    hardness = data.draw(st.lists(st.sampled_from([0.5, 1.0, 2.0]) | st.floats(0, 5), min_size=1, max_size=60))
    numbers = images_by_hardness(hardness, fewest, most, mean)
    assert sum(numbers) == mean * len(hardness)
    assert all(fewest <= number <= most for number in numbers)
    assert [number for _, number in sorted(zip(hardness, numbers, strict=True))] == sorted(numbers)


def test_number_rises_from_the_fewest_to_the_most() -> None:
    numbers = images_by_hardness([*range(100)], 1, 6, 3)
    assert (numbers[0], numbers[-1], sum(numbers)) == (1, 6, 300) and len(set(numbers)) == 6
    assert images_by_hardness([3.0, 1.0, 2.0], 0, 2, 1) == [2, 0, 1]
    assert images_by_hardness([], 0, 2, 1) == []


def test_hardness_of_a_label_is_the_mean_loss_of_its_classes() -> None:
    pixels = np.array([[3, 1, 0], [0, 0, 4], [0, 0, 0]])
    found = hardness_of(pixels, np.array([0.1, 1.0, np.nan]))
    # A class without a known loss counts as the hardest of the others; what has no labelled pixel has no hardness.
    np.testing.assert_allclose(found, [0.325, 1.0, np.nan])
    with pytest.raises(ValueError, match="no class"):
        hardness_of(pixels, np.full(3, np.nan))


def test_mean_loss_of_a_class_is_that_of_its_pixels_up_to_a_limit() -> None:
    rng = np.random.default_rng(0)
    loss, label = rng.exponential(1.0, 5000), rng.integers(0, 2, 5000)
    found = LossHistogram.of(loss, label, 3).means(cap=2.0)
    expected = [np.minimum(loss[label == number], 2.0).mean() for number in (0, 1)]
    np.testing.assert_allclose(found[:2], expected, rtol=2e-2)
    assert np.isnan(found[2])
