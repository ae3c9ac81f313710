"""Metrics against definitions written out pixel by pixel."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from augment.metrics import confusion_matrix, mean_iou, pairwise_difference

NUM_CLASSES = 4
shapes = st.tuples(st.integers(1, 6), st.integers(1, 6))


@st.composite
def label_and_prediction(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(shapes)
    label = draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2, 3, 255])))
    prediction = draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, NUM_CLASSES - 1)))
    return label, prediction


@given(label_and_prediction())
def test_confusion_matrix_counts_every_labelled_pixel_once(pair: tuple[np.ndarray, np.ndarray]) -> None:
    label, prediction = pair
    expected = np.zeros((NUM_CLASSES, NUM_CLASSES), np.int64)
    for true, predicted in zip(label.ravel(), prediction.ravel(), strict=True):
        if true != 255:
            expected[true, predicted] += 1
    result = confusion_matrix(label, prediction, NUM_CLASSES)
    assert result.dtype == np.int64
    np.testing.assert_array_equal(result, expected)


@given(label_and_prediction())
def test_iou_is_intersection_over_union_of_pixel_sets(pair: tuple[np.ndarray, np.ndarray]) -> None:
    label, prediction = pair
    counted = label != 255
    ious = []
    for class_id in range(NUM_CLASSES):
        true, predicted = (label == class_id) & counted, (prediction == class_id) & counted
        union = (true | predicted).sum()
        ious.append((true & predicted).sum() / union if union else np.nan)
    confusion = confusion_matrix(label, prediction, NUM_CLASSES)
    mean, per_class = mean_iou(confusion)
    np.testing.assert_allclose(per_class, ious)
    if counted.any():
        assert mean == pytest.approx(np.nanmean(ious))
    else:
        assert np.isnan(mean)


def test_ignored_pixels_may_hold_any_prediction() -> None:
    label = np.array([[255, 1]], np.uint8)
    np.testing.assert_array_equal(
        confusion_matrix(label, np.array([[200, 1]], np.uint8), 2), np.array([[0, 0], [0, 1]])
    )


@pytest.mark.parametrize(("label", "prediction"), [([[7]], [[0]]), ([[0]], [[7]]), ([[0, 0]], [[0]])])
def test_ids_or_shapes_that_do_not_fit_are_refused(label: list[list[int]], prediction: list[list[int]]) -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.1|shape"):
        confusion_matrix(np.array(label, np.uint8), np.array(prediction, np.uint8), 2)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(2, 5), st.integers(1, 4), st.integers(1, 4), st.just(3))))
def test_pairwise_difference_is_the_mean_over_all_pairs(images: np.ndarray) -> None:
    pairs = [np.abs(a.astype(float) - b.astype(float)).mean() / 255 for a, b in combinations(images, 2)]
    assert pairwise_difference(images) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_pairwise_difference_spans_zero_to_one() -> None:
    black, white = np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 255, np.uint8)
    assert pairwise_difference(np.concatenate([black, black])) == 0
    assert pairwise_difference(np.concatenate([black, white])) == 1
    with pytest.raises(ValueError, match="at least 2"):
        pairwise_difference(black)
