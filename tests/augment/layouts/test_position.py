"""The position explains what depends on it, and nothing of what does not."""

from __future__ import annotations

import numpy as np
import pytest

from augment.layouts.position import PositionMoments, position_terms


def explained_shares(maps: np.ndarray) -> np.ndarray:
    """Share of the variance of each channel of `maps [B, h, w, C]` that the position explains."""
    rows = maps.reshape(-1, maps.shape[-1])
    found = PositionMoments.of(rows, *maps.shape[1:3]).explained
    return np.asarray(np.diag(found) / rows.var(axis=0))


def test_a_quadratic_of_the_position_is_explained_whole_and_noise_is_not() -> None:
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(50, 6, 9, 1))
    bowl = (position_terms(6, 9) @ generator.normal(size=6)).reshape(6, 9, 1)
    maps = np.concatenate([np.broadcast_to(bowl, noise.shape), noise, bowl / bowl.std() + noise], axis=-1) + 40
    shares = explained_shares(maps)
    assert shares[0] == pytest.approx(1)
    assert shares[1] < 0.02
    assert shares[2] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (2, 2)])
def test_a_grid_too_small_for_some_terms_gives_what_the_others_explain(height: int, width: int) -> None:
    maps = np.random.default_rng(1).normal(size=(4, height, width, 2))
    assert np.isfinite(explained_shares(maps)).all()
    assert (explained_shares(maps) <= 1 + 1e-9).all()
