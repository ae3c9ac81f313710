"""Each backbone of a fusion counts as much as the others, whatever the size of its activations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import UserError
from augment.layouts.basis import LayoutBasis
from augment.layouts.fitting import fit_basis
from augment.layouts.fusion import equal_variance_scale
from augment.layouts.moments import FeatureMoments, SceneMoments
from augment.layouts.options import BasisOptions
from tests.augment.layouts.test_basis import vectors

GROUPS = (4, 6)
PCA = BasisOptions(basis_kind="pca")


def rows_of(seed: int, factor: float = 1.0) -> np.ndarray:
    rows = np.concatenate([vectors(seed, 300, 4), vectors(seed + 1, 300, 6)], axis=1)
    rows[:, :4] *= factor
    return rows


def fitted(rows: np.ndarray, num_components: int = 5, groups: Sequence[int] = GROUPS) -> LayoutBasis:
    """The basis of rows that are one image, of one row of cells."""
    return fit_basis(moments_of(rows), num_components, "a + b", "r", PCA, groups)


def moments_of(rows: np.ndarray) -> SceneMoments:
    return SceneMoments.of(rows.T[None, :, :, None], [])


def layout_of(basis: LayoutBasis, rows: np.ndarray) -> np.ndarray:
    return basis.project(torch.from_numpy(rows.T[None, :, :, None]).float())[0, :, :, 0].numpy()


@given(st.integers(0, 2**32 - 2), st.lists(st.integers(1, 8), min_size=1, max_size=4))
@settings(deadline=None, max_examples=30)
def test_groups_have_the_same_total_variance_after_scaling(seed: int, groups: list[int]) -> None:
    rows = np.random.default_rng(seed).normal(size=(50, sum(groups))) * 10.0 ** np.arange(sum(groups))
    scaled = rows * equal_variance_scale(rows.var(axis=0), groups)
    totals = [part.sum() for part in np.split(scaled.var(axis=0), np.cumsum(groups)[:-1])]
    np.testing.assert_allclose(totals, 1)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_layout_does_not_depend_on_the_size_of_one_backbones_activations(factor: float) -> None:
    plain, larger = fitted(rows_of(0)), fitted(rows_of(0, factor))
    # The features are float32 and far from zero.
    np.testing.assert_allclose(layout_of(plain, rows_of(0)), layout_of(larger, rows_of(0, factor)), atol=1e-2)
    unscaled = fitted(rows_of(0, factor), groups=())
    assert np.abs(layout_of(unscaled, rows_of(0, factor)) - layout_of(plain, rows_of(0))).max() > 1


def test_the_layout_has_unit_variance_and_explains_a_growing_share() -> None:
    rows = rows_of(2)
    basis = fitted(rows, 10)
    np.testing.assert_allclose(np.cov(layout_of(basis, rows), bias=True), np.eye(10), atol=5e-2)
    shares = [basis.explained_variance(k, FeatureMoments.of(rows)) for k in range(1, 11)]
    assert shares == pytest.approx(np.cumsum(basis.eigenvalues) / basis.eigenvalues.sum())
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)


def test_a_saved_basis_keeps_its_scale_and_its_digest_depends_on_it(tmp_path: Path) -> None:
    basis = fitted(rows_of(3))
    basis.save(tmp_path)
    loaded = LayoutBasis.load(tmp_path)
    assert loaded.scale is not None and basis.scale is not None
    np.testing.assert_array_equal(loaded.scale, basis.scale)
    assert loaded.digest == basis.digest
    assert fitted(rows_of(3), groups=()).digest != basis.digest


def test_an_invariant_basis_does_not_depend_on_the_size_of_one_backbones_activations_either() -> None:
    generator = np.random.default_rng(0)
    images = generator.normal(size=(3, 10, 8, 9))
    copies = images + generator.normal(size=(2, *images.shape)) * np.linspace(0.1, 1, 10)[:, None, None]
    options, larger = BasisOptions(without_position=True), np.repeat([50.0, 1.0], GROUPS)[:, None, None]
    plain, scaled = (
        fit_basis(SceneMoments.of(images * factor, copies * factor), 5, "a + b", "r", options, GROUPS)
        for factor in (1, larger)
    )
    layouts = [basis.project(torch.from_numpy(images * factor)) for basis, factor in ((plain, 1), (scaled, larger))]
    torch.testing.assert_close(layouts[0], layouts[1], rtol=1e-3, atol=1e-3)


def test_one_backbone_is_not_scaled() -> None:
    assert fitted(rows_of(4), groups=(10,)).scale is None


def test_a_backbone_without_variance_and_missing_channels_are_refused() -> None:
    rows = rows_of(5)
    rows[:, :4] = 1
    with pytest.raises(UserError, match="backbone 1 of the fusion are the same everywhere"):
        fitted(rows)
    with pytest.raises(UserError, match=r"\[4, 5\] channels, and the features 10"):
        fitted(rows, groups=(4, 5))
