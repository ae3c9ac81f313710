"""Frechet and kernel distances against closed forms, and what no measure of sets may depend on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from augment.errors import NotFinite
from augment.measures.frechet import frechet_distance, frechet_of_moments, least_images, moments
from augment.measures.kernels import cmmd, gaussian, kernel_distance, polynomial, unbiased_mmd
from augment.measures.manifold import manifold
from augment.measures.vendi import vendi_score

SETS: list[Callable[[NDArray, NDArray], float]] = [frechet_distance, kernel_distance, cmmd]


def samples(seed: int, count: int = 40, dimensions: int = 5) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    mixing, shift = rng.normal(size=(dimensions, dimensions)), rng.normal(size=dimensions)
    return rng.normal(size=(count, dimensions)) @ mixing + shift


def rotation(seed: int, dimensions: int = 5) -> NDArray[np.float64]:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dimensions, dimensions)))[0]


def test_frechet_distance_of_two_gaussians_is_that_of_the_formula() -> None:
    first, second = np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 4.0, 1.0])
    # Of covariances that commute: the sum of squared differences of standard deviations.
    expected = 3.0**2 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2
    assert frechet_of_moments(np.zeros(3), first, np.array([3.0, 0, 0]), second) == pytest.approx(expected)
    a, b = np.cov(samples(0).T), np.cov(samples(1).T)
    general = np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    assert frechet_of_moments(np.zeros(5), a, np.zeros(5), b) == pytest.approx(general)


def test_frechet_distance_of_many_samples_comes_near_that_of_their_distributions() -> None:
    rng = np.random.default_rng(0)
    found = frechet_distance(rng.normal(0, 1, (4000, 3)), rng.normal(1, 2, (4000, 3)))
    assert found == pytest.approx(3 * (1 + 1), rel=0.05)


def test_frechet_distance_works_on_covariances_without_full_rank() -> None:
    flat = samples(0, 60)
    flat[:, 3:] = 0
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-9)


def test_the_stated_bias_of_the_frechet_distance_is_what_it_is() -> None:
    rng, dimensions, count = np.random.default_rng(0), 20, 200
    found = [frechet_distance(*rng.normal(size=(2, count, dimensions))) for _ in range(20)]
    assert np.mean(found) / dimensions == pytest.approx((dimensions + 5) / (2 * count), rel=0.1)


def test_too_few_images_for_a_frechet_distance_are_refused() -> None:
    assert least_images(384) == 768
    with pytest.raises(ValueError, match="at least 10 vectors"):
        frechet_distance(samples(0, 9), samples(1, 40))


def test_kernel_distance_is_the_sum_over_all_pairs() -> None:
    first, second = samples(0, 7), samples(1, 9)

    def kernel(x: NDArray, y: NDArray) -> float:
        return float((x @ y / 5 + 1) ** 3)

    within = [
        np.mean([kernel(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j]) for s in (first, second)
    ]
    expected = sum(within) - 2 * np.mean([kernel(x, y) for x in first for y in second])
    assert kernel_distance(first, second) == pytest.approx(expected)


def test_kernel_distances_of_samples_of_one_distribution_are_zero_on_average_at_any_number() -> None:
    rng = np.random.default_rng(0)
    for measure in (kernel_distance, cmmd):
        found = [measure(*rng.normal(size=(2, 8, 5))) for _ in range(400)]
        assert abs(np.mean(found)) < 4 * np.std(found) / 20


def test_cmmd_has_the_kernel_and_scale_of_the_paper() -> None:
    east, north = np.array([[1.0, 0], [5.0, 0]]), np.array([[0, 2.0], [0, 1.0]])
    # Vectors of length 1 that are orthogonal are sqrt(2) apart.
    assert cmmd(east, north) == pytest.approx(1000 * 2 * (1 - np.exp(-2 / 200)))


@pytest.mark.parametrize("kernel", [polynomial, gaussian])
def test_blocks_change_no_kernel_distance(kernel: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = samples(0), samples(1)
    whole = unbiased_mmd(first, second, kernel)
    monkeypatch.setattr("augment.measures.kernels.BLOCK", 7)
    assert unbiased_mmd(first, second, kernel) == pytest.approx(whole)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(SETS))
def test_distances_are_symmetric_and_depend_on_neither_order_nor_rotation(seed: int, measure: Callable) -> None:
    first, second, turn = samples(seed), samples(seed + 1), rotation(seed)
    found = measure(first, second)
    scale = max(abs(found), 1e-3) * 1e-6
    assert measure(second, first) == pytest.approx(found, abs=scale)
    assert measure(np.random.default_rng(seed).permutation(first), second) == pytest.approx(found, abs=scale)
    assert measure(first @ turn, second @ turn) == pytest.approx(found, abs=scale)


@pytest.mark.parametrize("measure", [*SETS, manifold])
def test_features_that_are_not_finite_or_differ_in_length_are_refused(measure: Callable) -> None:
    broken = samples(0)
    broken[3, 2] = np.nan
    for wrong, error in ((broken, NotFinite), (samples(0, dimensions=4), ValueError)):
        with pytest.raises(error):
            measure(samples(1), wrong)


def test_vendi_score_counts_different_vectors() -> None:
    assert vendi_score(np.eye(7) * 3) == pytest.approx(7)
    assert vendi_score(np.ones((9, 4))) == pytest.approx(1)
    assert vendi_score(np.repeat(np.eye(3), 5, axis=0)) == pytest.approx(3)
    with pytest.raises(ValueError, match="all zeros"):
        vendi_score(np.zeros((3, 4)))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 12))
def test_vendi_score_is_that_of_the_similarities_whichever_side_is_shorter(seed: int, count: int) -> None:
    vectors = samples(seed, count)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(units @ units.T / count)
    values = values[values > 1e-15]
    score = vendi_score(vectors)
    assert score == pytest.approx(np.exp(-(values * np.log(values)).sum()))
    assert 1 - 1e-9 <= score <= min(count, 5) + 1e-9
    assert vendi_score(vectors @ rotation(seed)) == pytest.approx(score)


def test_moments_are_those_of_numpy() -> None:
    mean, covariance = moments(samples(0).astype(np.float32))
    assert mean.dtype == covariance.dtype == np.float64
    assert covariance == pytest.approx(np.cov(samples(0).T), rel=1e-5)
