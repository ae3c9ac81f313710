"""A judge that has learned next to nothing is unfit, one that knows most classes is fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.metrics import confusion_matrix, mean_iou
from downstream.fitness import Fitness
from downstream.results import RunResult


def result(ious: list[float | None], pixels: list[int] | None = None) -> RunResult:
    iou = {str(number): value for number, value in enumerate(ious)}
    counts = {} if pixels is None else dict(zip(iou, pixels, strict=True))
    return RunResult("real", 0, 20, 0.1, 0.5, iou, [], 1.0, "f", {"splits": ["train", "val"]}, 16, counts)


def test_three_of_eleven_classes_are_too_few() -> None:
    fitness = Fitness.of(result([0.7, 0.5, 0.3, *[0.0] * 8], [40, 30, 10, *[2] * 8]))
    assert (fitness.learned, fitness.classes, fitness.needed) == (3, 11, 4)
    assert fitness.shortfall == "3 of 11 classes have an IoU above 0.05, at least 4 are needed"
    assert Fitness.of(result([0.7, 0.5, 0.3, 0.06, *[0.05] * 7], [40, 30, 10, *[2] * 8])).shortfall is None


def test_classes_that_no_label_shows_are_not_needed() -> None:
    # The third is predicted somewhere, and so has an IoU, of 0.
    fitness = Fitness.of(result([0.9, 0.5, 0.0, None], [50, 50, 0, 0]))
    assert (fitness.learned, fitness.classes, fitness.shortfall) == (2, 2, None)
    assert fitness.miou == pytest.approx(0.7)


@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=20))
def test_always_answering_the_commonest_class_is_never_fit(pixels: list[int]) -> None:
    label = np.repeat(np.arange(len(pixels)), pixels)
    miou, ious = mean_iou(confusion_matrix(label, np.full_like(label, np.argmax(pixels)), len(pixels)))
    fitness = Fitness.of(result(ious.tolist(), pixels))
    assert fitness.majority == pytest.approx(miou)
    assert fitness.shortfall is not None


def test_two_classes_of_which_one_is_rare() -> None:
    """One of the classes is not enough where it is the commonest."""
    assert "always predicting the most frequent class gives 0.475" in (
        Fitness.of(result([0.95, 0.0], [95, 5])).shortfall or ""
    )
    assert Fitness.of(result([0.96, 0.3], [95, 5])).shortfall is None


def test_old_results_without_pixels_are_judged_by_their_classes() -> None:
    assert Fitness.of(result([0.7, 0.0, 0.0, 0.0, None])).shortfall is not None
    assert Fitness.of(result([0.7, 0.2, 0.0, None])).shortfall is None


def test_nothing_measured_is_unfit() -> None:
    assert Fitness.of(result([None, None], [0, 0])).shortfall is not None
