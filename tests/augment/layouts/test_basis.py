"""A basis holds the principal components of the data, or those that photometric copies leave unchanged."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import NotFinite, UserError
from augment.layouts.basis import LayoutBasis
from augment.layouts.moments import FeatureMoments, SceneMoments


def vectors(seed: int, count: int, channels: int = 6) -> np.ndarray:
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(channels, channels))
    return generator.normal(size=(count, channels)) @ mixing + 100


def basis_of(rows: np.ndarray, num_components: int = 3) -> LayoutBasis:
    return LayoutBasis.fit(FeatureMoments.of(rows), num_components, "net", "r1")


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_layout_has_unit_variance_and_uncorrelated_components_on_its_own_data(seed: int) -> None:
    rows = vectors(seed, 400)
    layout = basis_of(rows).project(torch.from_numpy(rows.T[None, :, :, None]).float())[0, :, :, 0].numpy()
    np.testing.assert_allclose(np.cov(layout, bias=True), np.eye(3), atol=2e-2)
    np.testing.assert_allclose(layout.mean(axis=1), 0, atol=2e-2)


def test_signs_do_not_depend_on_the_order_of_the_data() -> None:
    rows = vectors(1, 300)
    one, other = basis_of(rows), basis_of(rows[::-1])
    np.testing.assert_allclose(one.components, other.components, atol=1e-8)
    loadings = one.components[np.arange(3), np.abs(one.components).argmax(axis=1)]
    assert (loadings > 0).all()


def test_explained_variance_is_that_of_the_eigenvalues_and_grows_to_one() -> None:
    rows = vectors(2, 300)
    basis, moments = basis_of(rows, 6), FeatureMoments.of(rows)
    shares = [basis.explained_variance(k, moments) for k in range(1, 7)]
    assert shares == pytest.approx(np.cumsum(basis.eigenvalues) / basis.eigenvalues.sum())
    assert shares[-1] == pytest.approx(1)


def test_a_foreign_basis_explains_no_more_than_the_datas_own() -> None:
    rows, others = vectors(3, 300), vectors(4, 300)
    moments = FeatureMoments.of(rows)
    own, foreign = basis_of(rows), basis_of(others)
    assert foreign.explained_variance(3, moments) <= own.explained_variance(3, moments)


def test_a_saved_basis_is_the_same_and_a_tampered_one_is_refused(tmp_path: Path) -> None:
    basis = basis_of(vectors(5, 100))
    basis.save(tmp_path)
    assert LayoutBasis.load(tmp_path).digest == basis.digest
    other = basis_of(vectors(6, 100))
    other.save(tmp_path / "other")
    (tmp_path / "basis.safetensors").write_bytes((tmp_path / "other" / "basis.safetensors").read_bytes())
    with pytest.raises(UserError, match="is not the one"):
        LayoutBasis.load(tmp_path)


@pytest.mark.parametrize("num_components", [0, 7, 100])
def test_too_many_components_are_refused(num_components: int) -> None:
    with pytest.raises(UserError, match=r"give 1\.\.6"):
        basis_of(vectors(7, 100), num_components)


def test_features_of_another_backbone_are_refused() -> None:
    with pytest.raises(UserError, match="4 channels"):
        basis_of(vectors(8, 100)).project(torch.zeros(1, 4, 2, 2))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_basis_is_not_fitted_on_what_is_not_finite(value: float, tmp_path: Path) -> None:
    rows = vectors(0, 10)
    rows[3, 2] = value
    with pytest.raises(NotFinite, match="1 of 10 feature vectors"):
        FeatureMoments.of(rows)
    good = FeatureMoments.of(vectors(0, 10))
    bad = FeatureMoments(10, good.mean, np.full_like(good.m2, value))
    with pytest.raises(NotFinite, match="moments of 'net' are not finite"):
        LayoutBasis.fit(bad, 3, "net", "r1")
    replace(basis_of(vectors(0, 10)), mean=np.full(6, value)).save(tmp_path)
    with pytest.raises(NotFinite, match="fit the basis again"):
        LayoutBasis.load(tmp_path)


def scenes(seed: int, copies: int = 3, count: int = 40) -> SceneMoments:
    """Moments of `feature_maps`."""
    return SceneMoments.of(*feature_maps(seed, copies, count))


def feature_maps(seed: int, copies: int = 3, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Features of images and copies, whose first channel changes between the views of a place and no other does."""
    generator = np.random.default_rng(seed)
    images = generator.normal(size=(count, 4, 5, 6)) * np.array([3.0, 2.0, 1.5, 1.0])[:, None, None]
    views = np.repeat(images[None], copies, axis=0)
    views[:, :, 0] += generator.normal(size=(copies, count, 1, 1)) * 6
    return images, views


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=20)
def test_without_copies_the_invariant_basis_is_the_principal_components(seed: int, epsilon: float) -> None:
    moments = scenes(seed, copies=0)
    pca = LayoutBasis.fit(moments.images, 3, "net", "r1")
    invariant = LayoutBasis.fit_invariant(moments, 3, "net", "r1", epsilon=epsilon)
    np.testing.assert_allclose(invariant.components, pca.components, atol=1e-6)
    np.testing.assert_allclose(invariant.eigenvalues, pca.eigenvalues[:3], rtol=1e-9)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_what_copies_change_comes_last_although_it_varies_most(seed: int) -> None:
    moments = scenes(seed)
    loadings = [
        np.abs(basis.components[:, 0])
        for basis in (
            LayoutBasis.fit(moments.images, 4, "net", "r1"),
            LayoutBasis.fit_invariant(moments, 4, "net", "r1", epsilon=0.1),
        )
    ]
    assert loadings[0].argmax() == 0
    assert loadings[1].argmax() == 3


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 9), min_size=2, max_size=6), st.randoms())
@settings(deadline=None, max_examples=30)
def test_any_division_and_order_gives_the_same_invariant_basis(
    seed: int, sizes: list[int], order: random.Random
) -> None:
    images, views = feature_maps(seed, count=sum(sizes))
    cuts = np.cumsum(sizes)[:-1]
    pieces = zip(np.split(images, cuts), np.split(views, cuts, axis=1), strict=True)
    parts = [SceneMoments.of(*piece) for piece in pieces]
    order.shuffle(parts)
    whole, merged = (
        LayoutBasis.fit_invariant(moments, 3, "net", "r1", epsilon=0.3)
        for moments in (SceneMoments.of(images, views), SceneMoments.merged(parts))
    )
    np.testing.assert_allclose(merged.components, whole.components, atol=1e-9)
    np.testing.assert_allclose(merged.eigenvalues, whole.eigenvalues, rtol=1e-9)


def test_a_large_epsilon_gives_the_principal_components_of_the_scenes() -> None:
    moments = scenes(3)
    pca = LayoutBasis.fit(moments.scene, 4, "net", "r1")
    invariant = LayoutBasis.fit_invariant(moments, 4, "net", "r1", epsilon=1e6)
    np.testing.assert_allclose(invariant.components, pca.components, atol=1e-4)


def test_position_is_suppressed_on_request() -> None:
    generator = np.random.default_rng(0)
    images = generator.normal(size=(200, 4, 8, 8))
    images[:, 1] += 3 * np.linspace(-1, 1, 8)[:, None]
    moments = SceneMoments.of(images, images[None])
    first = [
        LayoutBasis.fit_invariant(moments, 1, "net", "r1", epsilon=0.1, without_position=flag) for flag in (False, True)
    ]
    assert abs(first[0].components[0, 1]) > 0.99
    assert abs(first[1].components[0, 1]) < 0.5


@pytest.mark.parametrize(("varying", "epsilon"), [(1.0, 1e-18), (0.0, 0.3)])
def test_too_small_an_epsilon_for_features_that_hardly_vary_is_refused(varying: float, epsilon: float) -> None:
    images = 7 + varying * np.random.default_rng(0).normal(size=(1, 30, 3, 3))
    moments = SceneMoments.of(images, np.stack([1.1 * images, 0.9 * images]))
    if not varying:
        moments = SceneMoments.of(images, images[None])
    with pytest.raises(UserError, match="give a larger epsilon, more images, or the kind pca"):
        LayoutBasis.fit_invariant(moments, 3, "net", "r1", epsilon=epsilon)


def test_layouts_of_the_invariant_basis_have_unit_variance_on_the_images() -> None:
    moments = scenes(5)
    basis = LayoutBasis.fit_invariant(moments, 4, "net", "r1", epsilon=0.3)
    spread = basis.components @ moments.images.covariance @ basis.components.T
    np.testing.assert_allclose(np.diag(spread), basis.eigenvalues)


def test_a_saved_invariant_basis_says_what_it_is(tmp_path: Path) -> None:
    basis = LayoutBasis.fit_invariant(scenes(6), 3, "net", "r1", True, epsilon=0.3)
    basis.save(tmp_path)
    loaded = LayoutBasis.load(tmp_path)
    assert (loaded.kind, loaded.standardized, loaded.digest) == ("invariant", True, basis.digest)
    assert replace(basis, standardized=False).digest != basis.digest


def test_a_basis_saved_before_there_were_kinds_is_of_principal_components(tmp_path: Path) -> None:
    basis = basis_of(vectors(5, 100))
    basis.save(tmp_path)
    path = tmp_path / "basis.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({name: facts[name] for name in facts if name not in ("kind", "standardized")}))
    loaded = LayoutBasis.load(tmp_path)
    assert (loaded.kind, loaded.standardized) == ("pca", False)


def test_standardised_images_are_encoded_only_for_a_basis_of_such() -> None:
    images = np.random.default_rng(0).integers(0, 60, (1, 16, 16, 3), dtype=np.uint8)
    basis = basis_of(vectors(7, 100))
    assert basis.prepare(images) is images
    assert replace(basis, standardized=True).prepare(images).mean() == pytest.approx(114.5, abs=2)
