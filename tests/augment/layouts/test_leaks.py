"""Regressions read what is there, and nothing where nothing is, however many components there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.layouts.leaks import LeakMoments, explained_shares, leaks
from augment.layouts.moments import FeatureMoments


def shares(inputs: np.ndarray, targets: np.ndarray, fitted: int, ks: Sequence[int] = ()) -> np.ndarray:
    """R^2 on the rows after the first `fitted` ones, off all inputs or off the first of each number."""
    rows = np.hstack([inputs, targets])
    parts = FeatureMoments.of(rows[:fitted]), FeatureMoments.of(rows[fitted:])
    found = explained_shares(*parts, ks or [inputs.shape[1]], targets.shape[1])
    return found if ks else found[0]


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10))
@settings(deadline=None, max_examples=20)
def test_a_linear_target_is_read_whole_whatever_its_scale(seed: int, scale: float) -> None:
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(300, 4))
    targets = np.stack([inputs @ generator.normal(size=4) * scale + 7, generator.normal(size=300)], axis=1)
    found = shares(inputs, targets, 200)
    assert found[0] == pytest.approx(1, abs=0.01)
    assert 0 <= found[1] < 0.3


def test_a_target_that_never_changes_is_no_leak_and_no_nan() -> None:
    inputs, targets = np.random.default_rng(0).normal(size=(20, 2)), np.zeros((20, 1))
    assert shares(inputs, targets, 10).tolist() == [0]
    assert shares(np.zeros((20, 2)), inputs[:, :1], 10).tolist() == [0]


def test_the_share_is_that_of_the_residuals() -> None:
    """With many rows the ridge hardly matters, and the reader is that of least squares."""
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(3000, 3)) + 5
    targets = inputs @ generator.normal(size=(3, 2)) + generator.normal(size=(3000, 2)) + [40, 0]
    design = np.hstack([inputs, np.ones((3000, 1))])
    weights = np.linalg.lstsq(design[:2000], targets[:2000], rcond=None)[0]
    residuals = targets[2000:] - design[2000:] @ weights
    expected = 1 - (residuals**2).sum(axis=0) / ((targets[2000:] - targets[2000:].mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(shares(inputs, targets, 2000), expected, atol=1e-3)


def test_components_that_say_nothing_do_little_harm() -> None:
    """As many inputs as images to fit on, or more: least squares would read nothing of new images."""
    found = []
    for seed in range(8):
        generator = np.random.default_rng(seed)
        inputs = generator.normal(size=(150, 128))
        target = inputs[:, :1] + 0.5 * generator.normal(size=(150, 1))
        found.append(shares(inputs, target, 100, (1, 20, 64, 100, 128))[:, 0])
    means = np.mean(found, axis=0)
    assert means[0] == pytest.approx(0.8, abs=0.05)
    assert (means > means[0] - 0.05).all()


def test_strengths_are_read_off_the_mean_and_off_cells() -> None:
    generator = np.random.default_rng(0)
    strengths = generator.normal(size=(60, 4))
    layouts = generator.normal(size=(60, 3, 4, 5))
    layouts[:, 1] += 2 * strengths[:, 0, None, None]
    fitted, measured = (LeakMoments.of(layouts[part], strengths[part]) for part in (slice(40), slice(40, None)))
    found = leaks(fitted, measured, [1, 2])
    (none, _), (of_mean, of_cell) = found[1], found[2]
    assert of_mean["gain"] > 0.9 and none["gain"] < 0.3
    assert of_cell["gain"] == pytest.approx(0.8, abs=0.1)
    assert max(of_mean["gamma"], of_cell["gamma"]) < 0.3
