"""Pictures show what maps hold, at the size of the image."""

from __future__ import annotations

import cv2
import numpy as np

from augment.conditioning.canny import Canny
from augment.conditioning.cells import to_cells
from augment.conditioning.label_map import LabelMap
from augment.conditioning.pictures import class_colors, conditioning_picture
from pipeline.scenes import render_scene


def test_edges_are_shown_pixel_by_pixel() -> None:
    image = render_scene(0, 64, 128).image
    picture = conditioning_picture("canny", Canny().maps(image[None])[0], 64, 128)
    np.testing.assert_array_equal(picture, np.repeat(cv2.Canny(image, 100, 200)[..., None], 3, axis=2))


def test_classes_have_their_colours_and_what_is_ignored_is_black() -> None:
    labels = np.repeat(np.repeat(np.array([[0, 1, 255]], np.uint8), 8, axis=0), 8, axis=1)
    maps = LabelMap(("road", "sky")).maps(np.zeros((1, 8, 24, 3), np.uint8), labels[None])[0]
    palette = ((128, 64, 128), (70, 130, 180))
    picture = conditioning_picture("label", maps, 8, 24, palette)
    assert [tuple(picture[4, x]) for x in (4, 12, 20)] == [*palette, (0, 0, 0)]
    assert len({tuple(color) for color in class_colors(60).round()}) == 60


def test_median_depth_is_grey_and_two_deviations_fill_the_range() -> None:
    depth = np.repeat(np.array([[-2, 0, 2]], np.float32), 8, axis=0).repeat(8, axis=1)
    picture = conditioning_picture("depth", to_cells(depth[None], 2)[0], 8, 24)
    assert [picture[4, x, 0] for x in (4, 12, 20)] == [0, 128, 255]
