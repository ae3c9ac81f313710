"""Maps are what the libraries give, brought to the grid of the latent without loss of what matters."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from augment.conditioning import Conditioning
from augment.conditioning.canny import Canny
from augment.conditioning.cells import from_cells, to_cells
from augment.conditioning.label_map import LabelMap
from augment.conditioning.soft_edge import SoftEdge
from augment.errors import UserError
from pipeline.scenes import render_scene

CLASSES = ("road", "sky", "car")
PLAIN = [Canny(), SoftEdge(), LabelMap(CLASSES)]
# Rows and columns of cells.
GRIDS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return np.stack([render_scene(seed, 64, 128).image for seed in range(2)])


@given(st.data(), GRIDS)
def test_cells_hold_every_pixel_in_the_order_of_torch(data: st.DataObject, grid: tuple[int, int]) -> None:
    size = (2, 8 * grid[0], 8 * grid[1])
    planes = data.draw(arrays.arrays(np.float32, size, elements=st.floats(-100, 100, width=16)))
    cells = to_cells(planes)
    expected = torch.nn.functional.pixel_unshuffle(torch.from_numpy(planes)[:, None], 8).numpy()
    np.testing.assert_array_equal(cells, expected)
    np.testing.assert_array_equal(np.stack([from_cells(cell) for cell in cells]), planes)


@given(arrays.arrays(np.uint8, (1, 16, 24)), st.sampled_from([2, 4, 8]))
def test_blocks_of_pixels_are_averaged(planes: NDArray[np.uint8], block: int) -> None:
    [cells] = to_cells(planes.astype(np.float32) / 255, block)
    expected = cv2.resize(planes[0] / 255, None, fx=1 / block, fy=1 / block, interpolation=cv2.INTER_AREA)
    assert cells.shape == ((8 // block) ** 2, 2, 3)
    np.testing.assert_allclose(from_cells(cells), expected.reshape(16 // block, -1), atol=1e-3)


@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.kind)
def test_a_size_that_is_not_a_multiple_of_8_is_refused(kind: Conditioning) -> None:
    with pytest.raises(UserError, match="image size 20x16 is not a multiple of 8"):
        kind.maps(np.zeros((1, 16, 20, 3), np.uint8), np.zeros((1, 16, 20), np.uint8))


@pytest.mark.parametrize(("low", "high"), [(100, 200), (20, 60)])
def test_canny_edges_are_those_of_opencv(images: NDArray[np.uint8], low: float, high: float) -> None:
    for image, maps in zip(images, Canny(low, high).maps(images), strict=True):
        edges = cv2.Canny(image, low, high)
        assert edges.any()
        assert maps.dtype == np.float16 and maps.shape == (64, 8, 16)
        np.testing.assert_array_equal(from_cells(maps) * 255, edges)


@given(arrays.arrays(np.uint8, 3))
def test_an_image_of_one_colour_has_no_edges(color: NDArray[np.uint8]) -> None:
    image = np.broadcast_to(color, (1, 16, 24, 3))
    for kind in (Canny(0, 0), SoftEdge()):
        assert not kind.maps(image).any()


def test_soft_edges_of_a_step_are_its_contrast_in_proportion_to_the_mean() -> None:
    step = np.zeros((64, 64, 3), np.uint8)
    step[:, 32:] = 102
    edges = SoftEdge(sigma=4).edges(step)
    steepness = edges / (1 - edges)
    # The gradient integrates to the contrast over every row, so its mean is that of a step by one pixel a row.
    expected = 1 / (4 * np.sqrt(2 * np.pi)) / (1 / 64)
    np.testing.assert_allclose(steepness[32, 31:33], expected, rtol=0.05)
    assert edges[:, :8].max() < 0.01


def test_a_step_of_one_level_of_grey_is_no_more_than_noise() -> None:
    step = np.full((64, 64, 3), 100, np.uint8)
    step[:, 32:] = 101
    # As steep as the floor that the mean has.
    assert SoftEdge(sigma=3).edges(step).max() == pytest.approx(0.5, abs=0.02)


def test_soft_edges_do_not_depend_on_the_contrast_of_an_image(images: NDArray[np.uint8]) -> None:
    bright, dark = (SoftEdge().maps(copies).astype(np.float32) for copies in (images, images // 2))
    assert np.abs(bright - dark).mean() < 0.02
    assert np.corrcoef(bright.ravel(), dark.ravel())[0, 1] > 0.99


@given(st.data(), GRIDS)
def test_channels_of_a_label_map_add_up_to_the_share_of_labelled_pixels(
    data: st.DataObject, grid: tuple[int, int]
) -> None:
    labels = data.draw(arrays.arrays(np.uint8, (2, 8 * grid[0], 8 * grid[1]), elements=st.sampled_from([0, 1, 2, 255])))
    maps = LabelMap(CLASSES).maps(np.zeros((*labels.shape, 3), np.uint8), labels)
    assert maps.dtype == np.float16 and maps.shape == (2, 3, *grid)

    def shares(mask: NDArray[np.bool_]) -> NDArray[np.floating]:
        return mask.reshape(2, grid[0], 8, grid[1], 8).mean(axis=(2, 4))

    np.testing.assert_array_equal(maps.astype(np.float64).sum(axis=1), shares(labels != 255))
    for train_id in range(3):
        np.testing.assert_array_equal(maps[:, train_id], shares(labels == train_id))


def test_labels_of_16_bits_have_their_own_ignored_id() -> None:
    labels = np.full((1, 8, 8), 65535, np.uint16)
    labels[0, :4] = 255
    maps = LabelMap(tuple(map(str, range(256))), ignore_index=65535).maps(np.zeros((1, 8, 8, 3), np.uint8), labels)
    assert maps.sum() == maps[0, 255, 0, 0] == 0.5


def test_ignored_pixels_are_of_no_class_when_the_classes_are_all_that_8_bits_can_number() -> None:
    labels = np.full((1, 8, 8), 7, np.uint8)
    labels[0, :4] = 255
    maps = LabelMap(tuple(map(str, range(256)))).maps(np.zeros((1, 8, 8, 3), np.uint8), labels)
    assert maps.sum() == maps[0, 7, 0, 0] == 0.5


def test_labels_that_are_missing_or_of_other_classes_are_refused() -> None:
    images, labels = np.zeros((1, 8, 8, 3), np.uint8), np.full((1, 8, 8), 3, np.uint8)
    with pytest.raises(UserError, match="reads labels, and there are none"):
        LabelMap(CLASSES).maps(images)
    with pytest.raises(UserError, match=r"a label has the id 3, and the classes are 0\.\.2"):
        LabelMap(CLASSES).maps(images, labels)
    with pytest.raises(UserError, match=r"these have 257: translate them with dataset\.taxonomy"):
        LabelMap(tuple(map(str, range(257))))
