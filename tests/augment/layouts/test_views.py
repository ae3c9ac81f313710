"""Views depend on the image and the seed alone, and trainings without them take the random numbers that they took."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from augment.layouts.changes import photometric_copy
from augment.layouts.views import choose_views, view_layouts
from pipeline.scenes import render_scene


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return np.stack([render_scene(seed, 32, 64).image for seed in range(5)])


def cell_means(images: NDArray[np.uint8]) -> NDArray[np.float16]:
    """A layout of three components: the mean colour of each cell of 8 x 8 pixels."""
    count, height, width, _ = images.shape
    cells = images.reshape(count, height // 8, 8, width // 8, 8, 3).mean((2, 4)).transpose(0, 3, 1, 2)
    return (cells / 255).astype(np.float16)


SEEDS = [[10 * image + view for view in range(3)] for image in range(5)]


def test_view_is_the_layout_of_the_photometric_copy_with_its_seed(images: NDArray[np.uint8]) -> None:
    views = view_layouts(images, SEEDS, cell_means)
    assert views.shape == (5, 3, 3, 4, 8)
    for image, row, found in zip(images, SEEDS, views, strict=True):
        copies = np.stack([photometric_copy(image, seed) for seed in row])
        np.testing.assert_array_equal(found, cell_means(copies))
    assert not np.array_equal(views[:, 0], views[:, 1])


@pytest.mark.parametrize(("size", "threads"), [(1, 1), (2, 3), (5, 8)])
def test_views_do_not_depend_on_batches_and_threads(images: NDArray[np.uint8], size: int, threads: int) -> None:
    parts = [
        view_layouts(images[start : start + size], SEEDS[start : start + size], cell_means, threads)
        for start in range(0, 5, size)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), view_layouts(images, SEEDS, cell_means))


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 5))
def test_no_view_takes_no_random_number(seed: int, count: int, views: int) -> None:
    generator = np.random.default_rng(seed)
    assert choose_views(count, views, 0.0, generator) == [None] * count
    assert generator.bit_generator.state == np.random.default_rng(seed).bit_generator.state


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_every_sample_has_a_view_at_a_share_of_one(seed: int, views: int) -> None:
    chosen = choose_views(50, views, 1.0, np.random.default_rng(seed))
    assert all(view in range(views) for view in chosen)


def test_views_are_chosen_in_the_share_asked_for_and_equally_often() -> None:
    chosen = choose_views(20_000, 4, 0.3, np.random.default_rng(0))
    shares = [sum(view == number for view in chosen) / len(chosen) for number in (None, 0, 1, 2, 3)]
    assert shares == pytest.approx([0.7, 0.075, 0.075, 0.075, 0.075], abs=0.01)
