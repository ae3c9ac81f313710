"""Precision, recall, density and coverage on sets whose neighbours are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from augment.measures.manifold import Manifold, manifold


def test_identical_sets_cover_each_other() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 4))
    found = manifold(vectors, vectors)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    # Each vector is within its own radius, and of five others on average.
    assert found.density == pytest.approx(6 / 5, abs=0.01)


def test_sets_far_apart_cover_nothing() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 4))
    assert manifold(vectors, vectors + 100) == Manifold(0, 0, 0, 0)


def test_two_samples_of_one_distribution_reach_the_expected_values() -> None:
    rng = np.random.default_rng(0)
    found = [manifold(*rng.normal(size=(2, 300, 8))) for _ in range(10)]
    assert np.mean([one.density for one in found]) == pytest.approx(1, abs=0.05)
    assert np.mean([one.coverage for one in found]) == pytest.approx(1 - 2**-5, abs=0.02)


def test_one_mode_of_two_has_precision_and_half_of_the_recall() -> None:
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.normal(size=(100, 3)), rng.normal(size=(100, 3)) + 50])
    found = manifold(real, rng.normal(size=(100, 3)))
    assert found.precision > 0.95
    assert found.recall <= 0.5
    assert found.coverage <= 0.5


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_numbers_are_those_of_the_definitions_in_any_order(seed: int, nearest: int) -> None:
    rng = np.random.default_rng(seed)
    real, synthetic = rng.normal(size=(13, 3)), rng.normal(size=(11, 3))
    to_real, within = cdist(synthetic, real), cdist(real, real)
    radius = np.sort(within, axis=1)[:, nearest]
    own = np.sort(cdist(synthetic, synthetic), axis=1)[:, nearest]
    expected = Manifold(
        (to_real <= radius).any(axis=1).mean(),
        (own >= to_real.T).any(axis=1).mean(),
        (to_real <= radius).sum() / nearest / 11,
        (to_real.min(axis=0) <= radius).mean(),
    )
    assert manifold(real, synthetic, nearest) == manifold(rng.permutation(real), rng.permutation(synthetic), nearest)
    assert vars(manifold(real, synthetic, nearest)) == pytest.approx(vars(expected))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, synthetic = np.random.default_rng(0).normal(size=(2, 40, 3))
    whole = manifold(real, synthetic)
    monkeypatch.setattr("augment.measures.distances.BLOCK", 7)
    assert manifold(real, synthetic) == whole


def test_fewer_images_than_neighbours_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 6"):
        manifold(np.zeros((5, 2)), np.ones((9, 2)))
