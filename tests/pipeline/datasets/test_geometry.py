"""The working size, and what resizing may and may not do to pixels and ids."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from augment.errors import UserError
from pipeline.datasets import Frame
from pipeline.datasets.geometry import Geometry, resize_frame, resize_image, resize_label

sides = st.integers(1, 40)
working_sides = st.integers(1, 6).map(lambda n: 8 * n)
geometries = st.builds(Geometry, working_sides, working_sides)
labels = hnp.arrays(st.sampled_from([np.uint8, np.uint16]), st.tuples(sides, sides))


def centre(target: int, source_size: int, target_size: int) -> int:
    """The source pixel that the centre of a target pixel falls into, in exact arithmetic."""
    return math.floor((target + Fraction(1, 2)) * Fraction(source_size, target_size))


@pytest.mark.parametrize(
    ("height", "width", "told"),
    [
        (100, 128, "geometry.height is 100: it must be a multiple of 8, such as 96 or 104"),
        (96, 127, "geometry.width is 127: it must be a multiple of 8, such as 120 or 128"),
        (0, 128, "geometry.height is 0: it must be a multiple of 8, such as 8"),
        (-8, 128, "geometry.height is -8: it must be a multiple of 8, such as 8"),
    ],
)
def test_a_size_off_the_latent_grid_is_one_clear_line(height: int, width: int, told: str) -> None:
    with pytest.raises(UserError) as error:
        Geometry(height, width)
    assert str(error.value) == told


@settings(deadline=None)
@given(labels, geometries)
def test_a_label_is_read_at_pixel_centres(label: np.ndarray, geometry: Geometry) -> None:
    resized = resize_label(label, geometry)
    assert resized.shape == geometry.shape
    assert resized.dtype == label.dtype
    rows = [centre(row, label.shape[0], geometry.height) for row in range(geometry.height)]
    columns = [centre(column, label.shape[1], geometry.width) for column in range(geometry.width)]
    assert resized.tolist() == [[label[row, column] for column in columns] for row in rows]


@settings(deadline=None)
@given(labels, geometries)
def test_resizing_invents_no_id(label: np.ndarray, geometry: Geometry) -> None:
    assert set(np.unique(resize_label(label, geometry))) <= set(np.unique(label))


@settings(deadline=None)
@given(st.data(), geometries)
def test_the_same_size_changes_nothing(data: st.DataObject, geometry: Geometry) -> None:
    image = data.draw(hnp.arrays(np.uint8, (*geometry.shape, 3)))
    label = data.draw(hnp.arrays(np.uint8, geometry.shape))
    same = resize_frame(Frame(image, label), geometry)
    same_image, same_label = same.image, same.label
    np.testing.assert_array_equal(same_image, image)
    np.testing.assert_array_equal(same_label, label)


@settings(deadline=None)
@given(geometries, st.integers(1, 4))
def test_enlarging_by_a_whole_factor_and_back_is_lossless_for_labels(geometry: Geometry, factor: int) -> None:
    label = np.arange(geometry.height * geometry.width, dtype=np.uint16).reshape(geometry.shape)
    larger = resize_label(label, Geometry(geometry.height * factor, geometry.width * factor))
    np.testing.assert_array_equal(larger, np.kron(label, np.ones((factor, factor), np.uint16)))
    np.testing.assert_array_equal(resize_label(larger, geometry), label)


def test_shrinking_an_image_averages_instead_of_dropping_pixels() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    shrunk = resize_image(stripes, Geometry(16, 16))
    # Without a filter every target pixel would hit a stripe of one and the same colour.
    assert np.abs(shrunk.astype(int) - 100).max() <= 8


def test_an_image_and_its_label_stay_on_top_of_each_other() -> None:
    label = np.zeros((120, 200), np.uint8)
    label[30:90, 50:150] = 1
    image = np.repeat(label[..., None] * 255, 3, axis=2)
    small = resize_frame(Frame(image, label), Geometry(48, 80))
    small_image, small_label = small.image, small.label
    assert small_label is not None
    np.testing.assert_array_equal(small_image[..., 0] > 127, small_label == 1)


@settings(deadline=None)
@given(geometries)
def test_a_flat_image_stays_flat(geometry: Geometry) -> None:
    image = np.full((21, 34, 3), (3, 128, 250), np.uint8)
    assert (resize_image(image, geometry) == (3, 128, 250)).all()


def test_an_unlabelled_image_stays_unlabelled() -> None:
    frame = resize_frame(Frame(np.zeros((9, 9, 3), np.uint8)), Geometry(8, 16))
    assert frame.image.shape == (8, 16, 3)
    assert frame.label is None


def test_a_label_of_another_size_is_refused() -> None:
    with pytest.raises(UserError, match=r"10x20 pixels.*label is 20x10"):
        resize_frame(Frame(np.zeros((10, 20, 3), np.uint8), np.zeros((20, 10), np.uint8)), Geometry(8, 8))
