"""Proportions, order and independence of what a mix samples."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import UserError
from downstream.mixes import Mix, MixSampler, SeededIndex

REAL, SYNTHETIC = range(7), range(7, 20)
shares = st.tuples(st.integers(0, 12), st.integers(1, 12)).map(lambda ab: Fraction(min(ab), max(ab)))


def sampled(share: Fraction, seed: int = 0, start: int = 0, stop: int = 200) -> list[SeededIndex]:
    return list(MixSampler(REAL, SYNTHETIC, share, seed, range(start, stop)))


@given(shares, st.integers(0, 10**6), st.integers(1, 64))
def test_every_batch_has_the_share_of_synthetic_samples_to_within_one(share: Fraction, start: int, size: int) -> None:
    synthetic = sum(item.sample in SYNTHETIC for item in sampled(share, start=start, stop=start + size))
    assert abs(synthetic - size * share) < 1


@given(shares, st.integers(0, 150))
def test_training_resumed_anywhere_samples_the_same(share: Fraction, start: int) -> None:
    assert sampled(share)[start:] == sampled(share, start=start)


def test_each_pass_over_a_part_sees_every_sample_once_in_a_new_order() -> None:
    order = [item.sample for item in sampled(Fraction(0), stop=3 * len(REAL))]
    passes = [order[i : i + len(REAL)] for i in range(0, len(order), len(REAL))]
    assert all(Counter(one) == Counter(REAL) for one in passes)
    assert len({tuple(one) for one in passes}) > 1


def test_seeds_change_order_and_augmentation() -> None:
    first, second = sampled(Fraction(1, 2), seed=0), sampled(Fraction(1, 2), seed=1)
    assert [d.sample for d in first] != [d.sample for d in second]
    assert not {d.seed for d in first} & {d.seed for d in second}
    assert len({d.seed for d in first}) == len(first)


def test_a_position_is_augmented_alike_in_every_mix() -> None:
    """Mixes are compared under common random numbers, so that they differ in the data alone."""
    assert [d.seed for d in sampled(Fraction(0))] == [d.seed for d in sampled(Fraction(1, 2))]


@pytest.mark.parametrize(
    ("real", "synthetic", "share"), [(1, 0, 0), (0, 3, 1), (1, 1, 0.5), (1, 0.5, 1 / 3), (2, 1, 1 / 3)]
)
def test_share_of_a_mix(real: float, synthetic: float, share: float) -> None:
    assert float(Mix("m", real, synthetic).synthetic_share) == pytest.approx(share)


@pytest.mark.parametrize(("real", "synthetic"), [(0, 0), (-1, 2), (1, -0.5)])
def test_impossible_weights_are_refused(real: float, synthetic: float) -> None:
    with pytest.raises(UserError, match="mix 'odd'"):
        Mix("odd", real, synthetic)
