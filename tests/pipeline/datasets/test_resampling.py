"""What bringing an image to the working size may and may not do to pixels, ids, objects and boxes."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from augment.errors import UserError
from pipeline.datasets import Box, Frame, Geometry, Resample, show
from pipeline.datasets.geometry import Region, View
from pipeline.datasets.resampling import PADDING, around, resize_frame, resize_image, resize_label
from tests.pipeline.datasets.geometries import any_geometry, geometries, geometry_of, sides, source_sizes

IGNORE = 200
PALETTE = np.array([(250, 10, 20), (5, 240, 30), (15, 25, 235), (245, 235, 5)], np.uint8)
labels = hnp.arrays(st.sampled_from([np.uint8, np.uint16]), st.tuples(sides, sides))


def centre(target: int, source_size: int, target_size: int) -> int:
    """The source pixel that the centre of a target pixel falls into, in exact arithmetic."""
    return math.floor((target + Fraction(1, 2)) * Fraction(source_size, target_size))


def shrunk(label: np.ndarray, geometry: Geometry) -> np.ndarray:
    """All of a label at the working size."""
    height, width = label.shape
    return resize_label(label, Region(0, 0, width, height), Region(0, 0, geometry.width, geometry.height))


def blocks(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A label of large patches."""
    cells = rng.integers(0, len(PALETTE), (5, 5), dtype=np.uint8)
    return cv2.resize(cells, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)


def inside(label: np.ndarray, view: View) -> np.ndarray:
    """1 where all source pixels that a target pixel can be made of have one label."""
    reach = 2 + math.ceil(max(view.region.height / view.content.height, view.region.width / view.content.width))
    window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return (cv2.dilate(label, window) == cv2.erode(label, window)).astype(np.uint8)


@settings(deadline=None)
@given(any_geometry, source_sizes, st.integers(0, 99))
def test_image_label_and_instances_stay_on_top_of_each_other(
    geometry: Geometry, size: tuple[int, int], seed: int
) -> None:
    label = blocks(np.random.default_rng(seed), size)
    frame = Frame(PALETTE[label], label, label.astype(np.uint16) + 1)
    for view in geometry.views("key", size):
        sample = show(frame, view, geometry, IGNORE)
        assert sample.label is not None and sample.instances is not None
        assert sample.image.shape == (*geometry.shape, 3)
        assert sample.label.shape == sample.instances.shape == geometry.shape
        bar = sample.label == IGNORE
        assert bar.sum() == geometry.height * geometry.width - view.content.height * view.content.width
        assert (sample.image[bar] == PADDING).all() and (sample.instances[bar] == 0).all()
        np.testing.assert_array_equal(sample.instances[~bar], sample.label[~bar] + np.uint16(1))
        assert set(np.unique(sample.label[~bar])) <= set(np.unique(label))
        sure = show(replace(frame, label=inside(label, view)), view, geometry, 0).label == 1
        assert np.abs(sample.image[sure].astype(int) - PALETTE[sample.label[sure]]).max(initial=0) <= 1


@settings(deadline=None)
@given(any_geometry, source_sizes, st.data())
def test_boxes_follow_their_objects_and_stay_inside(
    geometry: Geometry, size: tuple[int, int], data: st.DataObject
) -> None:
    height, width = size
    left, top = data.draw(st.integers(-4, width - 1)), data.draw(st.integers(-4, height - 1))
    box = Box("car", left, top, data.draw(st.integers(1, width)), data.draw(st.integers(1, height)))
    object_map = np.zeros(size, np.uint16)
    object_map[max(top, 0) : max(top + int(box.height), 0), max(left, 0) : max(left + int(box.width), 0)] = 1
    frame = Frame(np.zeros((*size, 3), np.uint8), None, object_map, (box,))
    for view in geometry.views("key", size):
        sample = show(frame, view, geometry)
        assert sample.instances is not None
        seen = np.argwhere(sample.instances)
        if not sample.boxes:
            assert len(seen) <= max(geometry.shape), "only an object of less than a pixel's area has no box"
            continue
        [moved] = sample.boxes
        content = view.content
        assert moved.category == "car" and moved.width * moved.height >= 1
        assert moved.left >= content.left and moved.top >= content.top
        assert moved.left + moved.width <= content.left + content.width + 1e-6
        assert moved.top + moved.height <= content.top + content.height + 1e-6
        if len(seen):
            (first_row, first_column), (last_row, last_column) = seen.min(0), seen.max(0)
            # Labels are read at pixel centres, so that each edge is within half a pixel of the box.
            assert abs(moved.left - first_column) <= 0.5 + 1e-6 and abs(moved.top - first_row) <= 0.5 + 1e-6
            assert abs(moved.left + moved.width - last_column - 1) <= 0.5 + 1e-6
            assert abs(moved.top + moved.height - last_row - 1) <= 0.5 + 1e-6


@settings(deadline=None)
@given(geometries, st.sampled_from(["bilinear", "area"]), st.data())
def test_where_nothing_is_to_do_nothing_is_done(geometry: Geometry, resample: Resample, data: st.DataObject) -> None:
    image = data.draw(hnp.arrays(np.uint8, (*geometry.shape, 3)))
    for mode in ("resize", "crop", "letterbox"):
        [view] = geometry.views("key", geometry.shape)
        np.testing.assert_array_equal(
            show(Frame(image), view, geometry.model_copy(update={"mode": mode, "resample": resample})).image, image
        )


def test_an_area_is_the_mean_of_what_a_pixel_covers() -> None:
    image = np.random.default_rng(0).integers(0, 256, (24, 48, 3), dtype=np.uint8)
    exact = image.reshape(8, 3, 16, 3, 3).mean((1, 3))
    assert np.abs(resize_image(image, Region(0, 0, 48, 24), (8, 16), "area") - exact).max() <= 0.5 + 1e-9
    # 3 target pixels over 4: each covers one and a third.
    row = np.repeat(np.array([[[0], [90], [180], [240]]], np.uint8), 3, axis=2).repeat(3, axis=0)
    third = resize_image(row, Region(0, 0, 4, 3), (3, 3), "area")
    assert third[0, :, 0].tolist() == [round(90 / 4), round((90 + 180) / 2), round((180 + 3 * 240) / 4)]


def test_an_area_that_is_enlarged_along_one_side_is_bilinear() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 8, 3), dtype=np.uint8)
    whole = Region(0, 0, 8, 32)
    bilinear, area = (resize_image(image, whole, (16, 16), resample) for resample in ("bilinear", "area"))
    np.testing.assert_array_equal(area, bilinear)


@given(st.data())
def test_a_region_is_resized_as_if_the_whole_image_were_at_hand(data: st.DataObject) -> None:
    reduction = data.draw(st.sampled_from([1, 2, 4, 8]))
    height, width = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 90))
    image = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 256, (height, width, 3), dtype=np.uint8)
    left = data.draw(st.integers(0, width * reduction - 1))
    top = data.draw(st.integers(0, height * reduction - 1))
    across = data.draw(st.integers(1, width * reduction - left))
    down = data.draw(st.integers(1, height * reduction - top))
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    box = (left / reduction, top / reduction, (left + across) / reduction, (top + down) / reduction)
    whole = Image.fromarray(image).resize(shape[::-1], Image.Resampling.BILINEAR, box)
    near, within = around(image, box, shape)
    resized = Image.fromarray(near).resize(shape[::-1], Image.Resampling.BILINEAR, within)
    assert np.abs(np.asarray(resized, int) - np.asarray(whole, int)).max() <= 1


def test_a_tile_is_resized_as_the_whole_would_be() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = resize_image(image, Region(0, 0, 64, 64), (32, 32))
    part = resize_image(image, Region(16, 32, 32, 32), (16, 16))
    # Pixels outside a tile's edge count as in the whole, so that no seam shows where tiles are put together.
    np.testing.assert_array_equal(part, whole[16:, 8:24])


@settings(deadline=None)
@given(labels, geometries)
def test_a_label_is_read_at_pixel_centres(label: np.ndarray, geometry: Geometry) -> None:
    resized = shrunk(label, geometry)
    assert resized.shape == geometry.shape
    assert resized.dtype == label.dtype
    rows = [centre(row, label.shape[0], geometry.height) for row in range(geometry.height)]
    columns = [centre(column, label.shape[1], geometry.width) for column in range(geometry.width)]
    assert resized.tolist() == [[label[row, column] for column in columns] for row in rows]


@settings(deadline=None)
@given(labels, geometries)
def test_resizing_invents_no_id(label: np.ndarray, geometry: Geometry) -> None:
    assert set(np.unique(shrunk(label, geometry))) <= set(np.unique(label))


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
    larger = shrunk(label, geometry_of(geometry.height * factor, geometry.width * factor))
    np.testing.assert_array_equal(larger, np.kron(label, np.ones((factor, factor), np.uint16)))
    np.testing.assert_array_equal(shrunk(larger, geometry), label)


@pytest.mark.parametrize("resample", ["bilinear", "area"])
def test_shrinking_an_image_averages_instead_of_dropping_pixels(resample: Resample) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    shrunk = resize_image(stripes, Region(0, 0, 64, 64), (16, 16), resample)
    # Without a filter every target pixel would hit a stripe of one and the same colour.
    assert np.abs(shrunk.astype(int) - 100).max() <= 8


def test_an_image_and_its_label_stay_on_top_of_each_other() -> None:
    label = np.zeros((120, 200), np.uint8)
    label[30:90, 50:150] = 1
    image = np.repeat(label[..., None] * 255, 3, axis=2)
    small = resize_frame(Frame(image, label), geometry_of(48, 80))
    small_image, small_label = small.image, small.label
    assert small_label is not None
    np.testing.assert_array_equal(small_image[..., 0] > 127, small_label == 1)


@settings(deadline=None)
@given(geometries)
def test_a_flat_image_stays_flat(geometry: Geometry) -> None:
    image = np.full((21, 34, 3), (3, 128, 250), np.uint8)
    assert (resize_frame(Frame(image), geometry).image == (3, 128, 250)).all()


def test_an_unlabelled_image_stays_unlabelled() -> None:
    frame = resize_frame(Frame(np.zeros((9, 9, 3), np.uint8)), geometry_of(8, 16))
    assert frame.image.shape == (8, 16, 3)
    assert frame.label is None


def test_a_label_of_another_size_is_refused() -> None:
    with pytest.raises(UserError, match=r"10x20 pixels.*label is 20x10"):
        resize_frame(Frame(np.zeros((10, 20, 3), np.uint8), np.zeros((20, 10), np.uint8)), geometry_of(8, 8))


@settings(deadline=None)
@given(any_geometry, st.sampled_from([2, 4, 8]), st.integers(0, 99))
def test_what_was_decoded_smaller_keeps_its_place(geometry: Geometry, reduction: int, seed: int) -> None:
    geometry = geometry.model_copy(update={"resample": "bilinear"})
    # The last row and column of the smaller image cover less of the larger one than the others do.
    size = (241, 257)
    label = blocks(np.random.default_rng(seed), size)
    rows, columns = (np.minimum(np.arange(0, side, reduction) + reduction // 2, side - 1) for side in size)
    box = Box("car", 60, 50, 120, 140)
    frame = Frame(PALETTE[label], label, boxes=(box,))
    smaller = replace(frame, image=frame.image[rows][:, columns], size=size, reduction=reduction)
    for view in geometry.views("key", size):
        one, other = (show(each, view, geometry, IGNORE) for each in (frame, smaller))
        np.testing.assert_array_equal(one.label, other.label)
        assert one.boxes == other.boxes
        reach = np.ones((4 * reduction + 1, 4 * reduction + 1), np.uint8)
        far = np.minimum(
            inside(label, view),
            cv2.erode((cv2.dilate(label, reach) == cv2.erode(label, reach)).astype(np.uint8), reach),
        )
        sure = show(replace(frame, label=far), view, geometry, 0).label == 1
        np.testing.assert_allclose(one.image[sure].astype(int), other.image[sure], atol=1)
