"""Label consistency: scales from real losses, masks from scales."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from augment.errors import UserError
from augment.filtering import (
    CurateOptions,
    LossHistogram,
    LossScale,
    mask_unreliable,
    mean_loss,
    reliable_share,
    share_beaten,
)

CLASSES = ("road", "sky", "person")


def real_losses(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Losses of a segmenter that is sure of roads, less so of skies, and never sees a person."""
    rng = np.random.default_rng(seed)
    label = rng.choice([0, 1, 255], size=(200, 200), p=[0.5, 0.4, 0.1]).astype(np.uint8)
    return rng.exponential(np.where(label == 0, 0.05, 2.0)), label


@given(
    hnp.arrays(np.float64, 300, elements=st.floats(2e-4, 19)),
    st.floats(0.05, 0.95),
)
def test_quantile_matches_the_sorted_losses_to_a_bin(losses: np.ndarray, level: float) -> None:
    histogram = LossHistogram.of(losses, np.zeros(losses.shape, np.uint8), 1)
    exact = np.quantile(losses, level, method="inverted_cdf")
    assert exact <= histogram.quantile(level)[0] * (1 + 1e-9)
    assert histogram.quantile(level)[0] <= exact * 1.04


def test_merging_parts_in_any_order_equals_the_whole() -> None:
    losses, label = real_losses()
    whole = LossHistogram.of(losses, label, 3)
    parts = [LossHistogram.of(losses[i::3], label[i::3], 3) for i in range(3)]
    np.testing.assert_array_equal(LossHistogram.merged(parts).counts, whole.counts)
    np.testing.assert_array_equal(LossHistogram.merged(parts[::-1]).counts, whole.counts)
    assert whole.counts.sum() == (label != 255).sum()


def test_each_class_is_held_to_its_own_scale() -> None:
    losses, label = real_losses()
    scale = LossScale.fit(LossHistogram.of(losses, label, 3), CLASSES, CurateOptions())
    reliable = scale.reliable(losses, label)
    assert not reliable[label == 255].any()
    # The bounded share of right pixels is lost, of each class.
    assert reliable[label == 0].mean() >= 0.9
    assert 0.89 < reliable[label == 1].mean() < 0.92
    # A loss that is usual for a sky is unheard of on a road, and nothing is known about persons.
    same_loss = np.full((1, 3), 3.0)
    np.testing.assert_array_equal(scale.reliable(same_loss, np.array([[0, 1, 2]], np.uint8)), [[False, True, True]])


def test_agreement_with_the_label_is_never_unreliable() -> None:
    certain = np.full((50, 50), 1e-3)
    scale = LossScale.fit(LossHistogram.of(certain, np.zeros((50, 50), np.uint8), 1), ("sky",), CurateOptions())
    losses = np.array([-math.log(0.51), -math.log(0.49)])
    np.testing.assert_array_equal(scale.reliable(losses, np.zeros(2, np.uint8)), [True, False])


def test_masking_changes_only_unreliable_pixels() -> None:
    label = np.array([[0, 1], [255, 2]], np.uint8)
    reliable = np.array([[True, False], [False, True]])
    np.testing.assert_array_equal(mask_unreliable(label, reliable), [[0, 255], [255, 2]])
    assert mask_unreliable(label, reliable).dtype == np.uint8
    assert reliable_share(label, reliable) == pytest.approx(2 / 3)
    assert reliable_share(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), bool)) == 0


def test_scale_survives_a_round_trip_through_json(tmp_path: Path) -> None:
    losses, label = real_losses()
    scale = LossScale.fit(LossHistogram.of(losses, label, 3), CLASSES, CurateOptions(quantile=0.9, tolerance=1.5))
    assert math.isinf(scale.thresholds[2])
    scale.save(tmp_path / "scale.json")
    assert LossScale.load(tmp_path / "scale.json") == scale


def test_mistakes_are_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"tolerance\n.*greater than or equal to 1 .*input_value=0\.5"):
        CurateOptions(tolerance=0.5)
    with pytest.raises(UserError, match=r"no loss scale at .*scale\.json"):
        LossScale.load(tmp_path / "scale.json")


def test_share_of_wrong_pixels_that_a_scale_finds_is_kept_with_it(tmp_path: Path) -> None:
    losses, label = real_losses()
    wrong = LossHistogram.of(np.array([0.01, 5.0, 9.0, 0.1, 0.1, 0.1, 0.1, 9.0]), np.array([0] * 3 + [1] * 5), 3)
    scale = LossScale.fit(LossHistogram.of(losses, label, 3), CLASSES, CurateOptions(), wrong)
    assert scale.finds == (pytest.approx(2 / 3, abs=1e-4), 0.2, None)
    assert scale.blind == ("sky",)
    scale.save(tmp_path / "scale.json")
    assert LossScale.load(tmp_path / "scale.json") == scale


def test_fit_of_a_label_is_its_mean_loss_where_it_is_labelled() -> None:
    loss, label = np.array([[[1.0, 3.0, 99.0]]] * 2), np.array([[[0, 0, 255]], [[0, 255, 0]]], np.uint8)
    np.testing.assert_allclose(mean_loss(loss, label), [2, 3])
    assert np.isnan(mean_loss(loss, np.full_like(label, 255))).all()
    assert share_beaten(2, np.array([1, 2, 3, 4.0])) == 0.5
    assert share_beaten(2, np.empty(0)) == 1
