"""Readers find what is there, and nothing where nothing is."""

from __future__ import annotations

import numpy as np
import pytest

from augment.layouts.probing import LinearProbe, cell_classes


def test_a_cell_has_the_class_that_covers_half_of_it_or_more() -> None:
    label = np.full((1, 8, 32), 255, np.uint8)
    label[0, :4, :8] = 3
    label[0, :3, 8:16] = 2
    label[0, :, 16:24] = 1
    label[0, :2, 16:24] = 0
    assert cell_classes(label, 4).tolist() == [[[3, -1, 1, -1]]]


@pytest.mark.parametrize(("dtype", "classes"), [(np.uint8, 19), (np.uint16, 300)])
def test_ignored_pixels_are_no_class(dtype: type, classes: int) -> None:
    label = np.full((2, 8, 8), np.iinfo(dtype).max, dtype)
    assert (cell_classes(label, classes) == -1).all()
    label[1] = classes - 1
    assert cell_classes(label, classes).ravel().tolist() == [-1, classes - 1]


def test_the_probe_reads_separable_classes_and_no_noise() -> None:
    generator = np.random.default_rng(0)
    classes = generator.integers(0, 4, 2000)
    classes[::7] = -1
    telling = np.eye(5)[classes] * 6 + generator.normal(size=(2000, 5))
    noise = generator.normal(size=(2000, 5))
    half = slice(0, 1000), slice(1000, None)
    scores = [LinearProbe(x[half[0]], classes[half[0]], 4).miou(x[half[1]], classes[half[1]]) for x in (telling, noise)]
    assert scores[0] > 0.95
    assert scores[1] < 0.25


def test_a_class_that_never_occurs_does_not_count() -> None:
    classes = np.repeat([0, 2], 50)
    layouts = np.eye(3)[classes] * 5.0
    assert LinearProbe(layouts, classes, 9).miou(layouts, classes) == pytest.approx(1)
