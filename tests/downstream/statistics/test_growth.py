"""How gains grow with the number of synthetic images."""

from __future__ import annotations

import numpy as np
import pytest

from augment.errors import UserError
from downstream.statistics.growth import fit_growth, gain_per_hour

IMAGES = (50, 100, 400, 1600)


def gains(limit: float, half: float, noise: float, seeds: int, trial: int = 0) -> dict[int, list[float]]:
    rng = np.random.default_rng(trial)
    return {n: list(limit * n / (n + half) + noise * rng.normal(size=seeds)) for n in IMAGES}


def test_exact_gains_give_the_law_that_made_them() -> None:
    growth = fit_growth(gains(0.04, 200, 0, 3))
    assert growth.limit == pytest.approx(0.04, rel=0.01)
    assert growth.half == pytest.approx(200, rel=0.02)
    assert growth(400) == pytest.approx(0.04 * 400 / 600, rel=0.005)
    assert growth.ends_at == pytest.approx(1800, rel=0.02)
    assert growth.doubled[0] == pytest.approx(growth(3200) - growth(1600))


def test_a_gain_that_still_grows_has_no_end() -> None:
    growth = fit_growth(gains(1.0, 50_000, 0, 3))
    assert growth.ends_at is None
    assert growth.doubled[0] > 0.9 * growth.at_most[0]


def test_images_that_harm_have_a_negative_limit() -> None:
    assert fit_growth(gains(-0.03, 100, 0, 3)).limit == pytest.approx(-0.03, rel=0.01)


def test_intervals_over_seeds_cover_what_they_say() -> None:
    inside = 0
    for trial in range(200):
        _, (low, high) = fit_growth(gains(0.04, 200, 0.01, 5, trial)).at_most
        inside += low <= 0.04 * 1600 / 1800 <= high
    assert 0.91 <= inside / 200 <= 0.99


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({100: [0.1] * 3, 200: [0.1] * 3}, "three numbers of synthetic images"),
        ({0: [0.0] * 3, 100: [0.1] * 3, 200: [0.1] * 3}, "three numbers of synthetic images"),
        ({100: [0.1] * 3, 200: [0.1] * 3, 400: [0.1] * 2}, "the same 3 seeds or more"),
        ({100: [0.1] * 2, 200: [0.1] * 2, 400: [0.1] * 2}, "the same 3 seeds or more"),
    ],
)
def test_too_little_to_fit_is_refused(table: dict[int, list[float]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit_growth(table)


def test_gain_per_hour() -> None:
    assert gain_per_hour(0.02, (0.01, 0.03), 1800) == (0.04, (0.02, 0.06))
    assert gain_per_hour(-0.02, None, 7200) == (-0.01, None)
