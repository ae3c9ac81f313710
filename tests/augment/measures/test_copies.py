"""Copies of training images are found, and images that are no copies are not."""

from __future__ import annotations

import numpy as np
import pytest

from augment.measures.copies import copy_test, nearest
from augment.measures.floors import against_floor
from augment.measures.kernels import kernel_distance


def distances(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    return nearest(queries, gallery)[1]


def test_planted_copies_are_flagged_and_new_images_are_not() -> None:
    rng = np.random.default_rng(0)
    training, held_out, new = rng.normal(size=(3, 600, 4))
    copies = training[:40] + rng.normal(0, 1e-3, (40, 4))
    real = distances(held_out, training)
    found = copy_test(distances(np.concatenate([new, copies]), training), real)
    assert found.flagged[600:].all()
    assert found.flagged[:600].mean() == pytest.approx(0.05, abs=0.04)
    assert copy_test(distances(new, training), real).nearer == pytest.approx(0.5, abs=0.06)
    assert copy_test(distances(copies, training), real).nearer == 1


def test_the_probability_counts_pairs_and_half_of_ties() -> None:
    synthetic, held_out = np.array([1.0, 2.0, 3.0]), np.repeat([2.0, 4.0], 10)
    assert copy_test(synthetic, held_out).nearer == pytest.approx((20 + 15 + 10) / 60)


def test_the_own_source_counts_only_where_it_is_asked_for() -> None:
    gallery = np.array([[0.0], [3.0], [10.0]])
    queries = np.array([[0.1], [0.1], [9.0]])
    assert nearest(queries, gallery)[0].tolist() == [0, 0, 2]
    places, found = nearest(queries, gallery, np.array([0, -1, 2]))
    assert places.tolist() == [1, 0, 1]
    assert found == pytest.approx([2.9, 0.1, 6.0])
    with pytest.raises(ValueError, match="own source"):
        nearest(queries[:1], gallery[:1], np.array([0]))


def test_too_few_held_out_images_are_refused() -> None:
    with pytest.raises(ValueError, match="20 held-out"):
        copy_test(np.ones(5), np.ones(19))


def test_a_floor_is_what_real_images_reach_and_paintings_like_them_are_at_it() -> None:
    rng = np.random.default_rng(0)
    real, alike = rng.normal(size=(2, 120, 6))

    def measure(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.array([kernel_distance(one, other), len(one)])

    same = against_floor(measure, real, alike[None])
    assert same.images == 60 and same.value[1] == 60
    assert abs(same.value[0] - same.floor[0]) < same.spread[0] + same.floor_spread[0]
    # Copies of the sources are no nearer to the photographs of other sources than those of the sources are.
    copied = against_floor(measure, real, real[None])
    assert copied.value == pytest.approx(copied.floor)
    assert against_floor(measure, real, 2 * alike[None]).value[0] > 3 * same.spread[0]
