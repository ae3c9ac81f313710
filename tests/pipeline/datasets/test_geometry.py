"""The working size, and which part of an image each sample shows."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from augment.errors import UserError
from pipeline.config.validation import validate
from pipeline.datasets import Geometry, Mode, RecordError, Tiles
from pipeline.datasets.geometry import Region
from tests.pipeline.datasets.geometries import any_geometry, geometry_of, source_sizes, tilings


@pytest.mark.parametrize(
    ("height", "width", "message"),
    [
        (100, 128, "height=100: input should be a multiple of 8"),
        (96, 127, "width=127: input should be a multiple of 8"),
        (0, 128, "height=0: input should be greater than or equal to 32"),
        (-8, 128, "height=-8: input should be greater than or equal to 32"),
    ],
)
def test_a_size_off_the_latent_grid_is_one_clear_line(height: int, width: int, message: str) -> None:
    with pytest.raises(UserError) as error:
        validate({"height": height, "width": width}, Geometry)
    assert str(error.value) == message


@settings(deadline=None)
@given(any_geometry, source_sizes)
def test_keys_are_known_before_an_image_is_read_and_regions_lie_in_it(
    geometry: Geometry, size: tuple[int, int]
) -> None:
    views = geometry.views("key", size)
    assert [view.key for view in views] == geometry.keys("key")
    assert len(views) == geometry.views_per_image == len({view.key for view in views})
    for view in views:
        for part, (height, width) in ((view.region, size), (view.content, geometry.shape)):
            assert part.width >= 1 and part.height >= 1 and part.left >= 0 and part.top >= 0
            assert part.left + part.width <= width and part.top + part.height <= height


@settings(deadline=None)
@given(tilings, source_sizes)
def test_tiles_cover_every_pixel_and_overlap_as_asked(geometry: Geometry, size: tuple[int, int]) -> None:
    assert geometry.tiles is not None
    seen = np.zeros(size, int)
    regions = [view.region for view in geometry.views("key", size)]
    for region in regions:
        seen[region.top : region.top + region.height, region.left : region.left + region.width] += 1
    assert seen.min() >= 1
    assert len({(region.height, region.width) for region in regions}) == 1
    lefts, tops = sorted({region.left for region in regions}), sorted({region.top for region in regions})
    assert (len(tops), len(lefts)) == (geometry.tiles.rows, geometry.tiles.columns)
    for starts, side in ((lefts, regions[0].width), (tops, regions[0].height)):
        # Starts are whole pixels, so that a gap may be one pixel wider than its share.
        assert all(side - (b - a) >= geometry.tiles.overlap * side - 1e-9 for a, b in pairwise(starts))


def test_a_cityscapes_frame_in_six_tiles() -> None:
    geometry = geometry_of(512, 768, "tiles", tiles=Tiles(rows=2, columns=3, overlap=0.25))
    views = geometry.views("frankfurt", (1024, 2048))
    assert [view.key for view in views] == [f"frankfurt_r{row}_c{column}" for row in range(2) for column in range(3)]
    assert views[0].region == Region(0, 0, 820, 586)
    assert views[4].region == Region(614, 438, 820, 586)
    assert views[5].region == Region(1228, 438, 820, 586)


def test_a_tile_that_would_be_enlarged_is_refused_in_one_line() -> None:
    with pytest.raises(RecordError) as error:
        geometry_of(512, 768, "tiles", tiles=Tiles(rows=2, columns=2)).views("key", (1024, 1400))
    assert str(error.value) == (
        "tile too small: 512x700 pixels (height x width) of an image of 1024x1400 would be enlarged to 512x768: "
        "take fewer geometry.tiles, or a smaller geometry"
    )


@pytest.mark.parametrize(
    ("size", "region"),
    [
        ((100, 300), Region(50, 0, 200, 100)),
        ((300, 100), Region(0, 125, 100, 50)),
        ((100, 200), Region(0, 0, 200, 100)),
        ((101, 200), Region(0, 1, 200, 100)),
    ],
)
def test_a_crop_is_the_largest_part_of_the_right_proportions_in_the_middle(
    size: tuple[int, int], region: Region
) -> None:
    [view] = geometry_of(64, 128, "crop").views("key", size)
    assert view.region == region


@settings(deadline=None)
@given(any_geometry, source_sizes)
def test_a_crop_and_a_letterbox_keep_proportions_to_half_a_pixel(geometry: Geometry, size: tuple[int, int]) -> None:
    def fits(inner: Region, outer: tuple[int, int], shape: tuple[int, int]) -> bool:
        (height, width), scale = outer, min(Fraction(outer[0], shape[0]), Fraction(outer[1], shape[1]))
        half = Fraction(1, 2)
        is_close = abs(inner.height - shape[0] * scale) <= half and abs(inner.width - shape[1] * scale) <= half
        margins = (inner.top, height - inner.height - inner.top), (inner.left, width - inner.width - inner.left)
        return is_close and all(abs(before - after) <= 1 and min(before, after) >= 0 for before, after in margins)

    [crop] = geometry_of(geometry.height, geometry.width, "crop").views("key", size)
    assert fits(crop.region, size, geometry.shape)
    [letterbox] = geometry_of(geometry.height, geometry.width, "letterbox").views("key", size)
    assert fits(letterbox.content, geometry.shape, size)


def test_a_random_crop_reaches_both_edges_of_an_image_one_pixel_wider() -> None:
    geometry = geometry_of(64, 128, "random_crop", smallest=1.0)
    lefts = [geometry.views(f"key{number}", (64, 129))[0].region.left for number in range(64)]
    assert set(lefts) == {0, 1}


def test_a_letterbox_shows_the_whole_in_its_proportions() -> None:
    [view] = geometry_of(64, 128, "letterbox").views("key", (100, 100))
    assert (view.region, view.content) == (Region(0, 0, 100, 100), Region(32, 0, 64, 64))
    [view] = geometry_of(64, 128, "letterbox").views("key", (100, 400))
    assert view.content == Region(0, 16, 128, 32)


def test_a_random_crop_depends_on_the_key_alone_and_uses_the_whole_range() -> None:
    geometry = geometry_of(64, 128, "random_crop", smallest=0.5)
    regions = [geometry.views(f"key{number}", (500, 800))[0].region for number in range(400)]
    assert regions == [geometry.views(f"key{number}", (500, 800))[0].region for number in range(400)]
    widths = np.array([region.width for region in regions])
    assert 400 <= widths.min() < 420 and 780 < widths.max() <= 800
    assert all(abs(region.width - 2 * region.height) <= 2 for region in regions)
    room = np.array([(500 - region.height, region.top) for region in regions if region.height < 450])
    assert (room[:, 1] / room[:, 0]).min() < 0.02 and (room[:, 1] / room[:, 0]).max() > 0.98
    # A change of the numbers would make another store under the same fingerprint.
    assert geometry.views("train_0001", (500, 800))[0].region == Region(12, 117, 732, 366)


@given(st.sampled_from(["resize", "crop", "letterbox", "random_crop"]))
def test_only_tiles_take_a_grid(mode: Mode) -> None:
    with pytest.raises(ValidationError, match=f"mode '{mode}' takes no tiles section"):
        Geometry(height=32, width=32, mode=mode, tiles=Tiles(rows=1, columns=1))
    with pytest.raises(ValidationError, match="mode 'tiles' needs tiles="):
        Geometry(height=32, width=32, mode="tiles")


@settings(deadline=None)
@given(any_geometry, source_sizes)
def test_an_image_that_is_at_least_as_large_as_asked_has_twice_the_pixels_of_every_view(
    geometry: Geometry, size: tuple[int, int]
) -> None:
    least = geometry.at_least
    assert geometry.model_copy(update={"reduced_jpeg": False}).at_least is None
    if geometry.resample == "area":
        assert least is None
        return
    assert least is not None
    for reduction in (1, 2, 4, 8):
        if size[0] // reduction < least[0] or size[1] // reduction < least[1]:
            continue
        for view in geometry.views("key", size):
            # A region is rounded to whole pixels.
            assert view.region.height + 1 >= 2 * reduction * view.content.height
            assert view.region.width + 1 >= 2 * reduction * view.content.width
