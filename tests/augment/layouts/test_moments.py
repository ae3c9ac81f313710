"""Moments are those of the data, however it is divided."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import NotFinite
from augment.layouts import rows
from augment.layouts.moments import FeatureMoments, SceneMoments
from augment.layouts.rows import Rows


def vectors(seed: int, count: int, channels: int = 6) -> np.ndarray:
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(channels, channels))
    return generator.normal(size=(count, channels)) @ mixing + 100


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 40), min_size=1, max_size=8))
@settings(deadline=None, max_examples=50)
def test_merged_moments_are_those_of_the_union(seed: int, sizes: list[int]) -> None:
    rows = vectors(seed, sum(sizes))
    parts = np.split(rows, np.cumsum(sizes)[:-1])
    merged = FeatureMoments.merged(FeatureMoments.of(part) for part in parts)
    assert merged.count == len(rows)
    np.testing.assert_allclose(merged.mean, rows.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(merged.covariance, np.cov(rows.T, bias=True), rtol=1e-7, atol=1e-9)


def test_moments_survive_a_large_mean() -> None:
    rows = vectors(0, 1000) + 1e7
    merged = FeatureMoments.merged(FeatureMoments.of(part) for part in np.split(rows, 10))
    np.testing.assert_allclose(merged.covariance, np.cov(rows.T, bias=True), rtol=1e-4)


def views(seed: int, count: int, copies: int) -> tuple[np.ndarray, np.ndarray]:
    """Feature maps `[count, 5, 3, 4]` of images and of `copies` of each."""
    generator = np.random.default_rng(seed)
    images = generator.normal(size=(count, 5, 3, 4)) * 3 + generator.normal(size=5)[:, None, None] * 20
    return images, images + generator.normal(size=(copies, *images.shape))


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(0, 3), st.randoms())
@settings(deadline=None, max_examples=40)
def test_any_division_and_order_gives_the_same_scene_moments(
    seed: int, sizes: list[int], copies: int, order: random.Random
) -> None:
    images, changed = views(seed, sum(sizes), copies)
    whole = SceneMoments.of(images, changed)
    cuts = np.cumsum(sizes)[:-1]
    parts = [
        SceneMoments.of(*part) for part in zip(np.split(images, cuts), np.split(changed, cuts, axis=1), strict=True)
    ]
    order.shuffle(parts)
    merged = SceneMoments.merged(parts)
    for one, other in (
        (merged.images.covariance, whole.images.covariance),
        (merged.scene.covariance, whole.scene.covariance),
        (merged.appearance, whole.appearance),
        (merged.position.explained, whole.position.explained),
    ):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * np.abs(whole.images.covariance).max())


def test_scene_moments_are_those_of_the_mean_and_of_the_deviations() -> None:
    images, changed = views(0, 7, 2)
    moments = SceneMoments.of(images, changed)
    rows = np.concatenate([images[None], changed]).transpose(0, 1, 3, 4, 2).reshape(3, -1, 5)
    np.testing.assert_allclose(moments.images.covariance, np.cov(rows[0].T, bias=True))
    np.testing.assert_allclose(moments.scene.covariance, np.cov(rows.mean(0).T, bias=True))
    each = [np.cov(rows[:, place].T) for place in range(rows.shape[1])]
    np.testing.assert_allclose(moments.appearance, np.mean(each, axis=0))


def test_without_copies_nothing_is_appearance() -> None:
    images, none = views(1, 4, 0)
    moments = SceneMoments.of(images, none)
    assert not moments.appearance.any()
    np.testing.assert_array_equal(moments.scene.covariance, moments.images.covariance)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(0, 3))
@settings(deadline=None, max_examples=20)
def test_sums_on_an_accelerator_are_those_of_the_host(seed: int, count: int, copies: int) -> None:
    images, changed = views(seed, count, copies)
    expected = SceneMoments.of(images, changed)
    with pytest.MonkeyPatch.context() as patch:
        # Tensors of the CPU then stay tensors, as those of a GPU do.
        patch.setattr(rows, "ON_HOST", ())
        found = SceneMoments.of(torch.from_numpy(images), list(torch.from_numpy(changed)))
    for one, other in (
        (found.images.mean, expected.images.mean),
        (found.images.m2, expected.images.m2),
        (found.scene.m2, expected.scene.m2),
        (found.within, expected.within),
        (found.position.cross, expected.position.cross),
    ):
        assert isinstance(one, np.ndarray) and one.dtype == np.float64
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * max(1, np.abs(other).max()))


def test_tensors_on_the_host_give_the_bits_of_arrays() -> None:
    images, changed = views(3, 4, 2)
    found, expected = (
        SceneMoments.of(torch.from_numpy(images), list(torch.from_numpy(changed))),
        SceneMoments.of(images, changed),
    )
    np.testing.assert_array_equal(found.images.m2, expected.images.m2)
    np.testing.assert_array_equal(found.within, expected.within)


def test_few_images_at_once_are_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """A map has 12 cells, so that 30 are two of them; one is the least."""
    images, changed = views(4, 5, 2)
    expected = SceneMoments.of(images, changed)
    sizes: list[int] = []

    def noting(maps: np.ndarray) -> Rows:
        sizes.append(len(maps))
        return rows.rows_of_maps(maps)

    monkeypatch.setattr("augment.layouts.moments.rows_of_maps", noting)
    for cells, most in ((30, 2), (1, 1), (12 * 5, 5)):
        sizes.clear()
        monkeypatch.setattr("augment.layouts.moments.PLACES", cells)
        found = SceneMoments.of(images, changed)
        assert max(sizes) == most and sum(sizes) == 3 * 5
        for one, other in ((found.scene.m2, expected.scene.m2), (found.within, expected.within)):
            np.testing.assert_allclose(one, other, rtol=1e-9)


@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.parametrize("where", ["images", "copies"])
def test_features_that_are_not_finite_are_refused(where: str, tensors: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    images, changed = views(2, 2, 1)
    (images if where == "images" else changed[0])[0, 0, 0, 0] = np.nan
    monkeypatch.setattr(rows, "ON_HOST", () if tensors else rows.ON_HOST)
    with pytest.raises(NotFinite, match="1 of 24 feature vectors"):
        SceneMoments.of(torch.from_numpy(images), list(torch.from_numpy(changed)))
