"""The basis is the data's principal components, however the data was dealt out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import NotFinite, UserError
from augment.layouts.basis import LayoutBasis
from augment.layouts.moments import FeatureMoments, moments_on_device
from augment.layouts.pictures import layout_picture


def vectors(seed: int, count: int, channels: int = 6) -> np.ndarray:
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(channels, channels))
    return generator.normal(size=(count, channels)) @ mixing + 100


def basis_of(rows: np.ndarray, num_components: int = 3) -> LayoutBasis:
    return LayoutBasis.fit(FeatureMoments.of(rows), num_components, "net", "r1")


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


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
@settings(deadline=None, max_examples=20)
def test_moments_on_a_device_are_those_of_the_cpu(seed: int, count: int) -> None:
    rows = torch.from_numpy(vectors(seed, count)).float()
    found, (size, mean, m2, broken) = FeatureMoments.of(rows), moments_on_device(rows)
    assert (size, broken) == (found.count, 0) and found.mean.dtype == mean.dtype == m2.dtype == np.float64
    np.testing.assert_allclose(mean, found.mean, rtol=1e-12)
    np.testing.assert_allclose(m2, found.m2, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(found.m2, FeatureMoments.of(rows.numpy()).m2)
    rows[0, 0] = torch.nan
    assert moments_on_device(rows)[3] == 1


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


def test_explained_variance_grows_to_one_and_is_the_same_by_either_way() -> None:
    rows = vectors(2, 300)
    basis = basis_of(rows, 6)
    shares = [basis.explained_variance(k) for k in range(1, 7)]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    moments = FeatureMoments.of(rows)
    assert shares == pytest.approx([basis.explained_variance(k, moments) for k in range(1, 7)])


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


@pytest.mark.parametrize("k", [1, 3, 5])
def test_picture_has_the_requested_size(k: int) -> None:
    picture = layout_picture(np.zeros((k, 3, 4), np.float16), 24, 32)
    assert picture.shape == (24, 32, 3)
    assert (picture == 128).all()


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
