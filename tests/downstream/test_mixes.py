"""Proportions, order and independence of what a mix samples."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import UserError
from downstream.mixes import Mix, MixSampler, RareClasses, SampledPart, SeededIndex, Turns, sampled_phase

REAL, SYNTHETIC = range(7), range(7, 20)
shares = st.tuples(st.integers(0, 12), st.integers(1, 12)).map(lambda ab: Fraction(min(ab), max(ab)))
weights = st.lists(st.integers(1, 400).map(lambda number: Fraction(number, 100)), min_size=3, max_size=6)


def sampled(share: Fraction, seed: int = 0, start: int = 0, stop: int = 200) -> list[SeededIndex]:
    parts = [SampledPart("real", REAL, 1 - share), SampledPart("synthetic", SYNTHETIC, share)]
    phase = sampled_phase(0, [part for part in parts if part.weight])
    return list(MixSampler([phase], seed, range(start, stop)))


@given(shares, st.integers(0, 10**6), st.integers(1, 64))
def test_every_batch_has_the_share_of_synthetic_samples_to_within_one(share: Fraction, start: int, size: int) -> None:
    synthetic = sum(item.sample in SYNTHETIC for item in sampled(share, start=start, stop=start + size))
    assert abs(synthetic - size * share) < 1


@given(weights, st.integers(1, 3000))
@settings(max_examples=40)
def test_any_number_of_terms_have_their_shares_from_the_start_to_within_one(given: list[Fraction], length: int) -> None:
    turns = Turns(given)
    counts = [0] * len(given)
    for position in range(length):
        part, before = turns.at(position)
        assert before == counts[part]
        counts[part] += 1
        for count, weight in zip(counts, given, strict=True):
            assert abs(count - (position + 1) * weight / sum(given)) < 1


def test_weights_with_too_many_digits_for_a_pattern_are_refused() -> None:
    with pytest.raises(UserError, match="give weights with fewer digits"):
        Turns([Fraction("0.999999"), Fraction("0.999998"), Fraction("0.999997")])


@given(shares, st.integers(0, 150))
def test_training_resumed_anywhere_samples_the_same(share: Fraction, start: int) -> None:
    assert sampled(share)[start:] == sampled(share, start=start)


def test_a_phase_ends_at_its_position() -> None:
    phases = [
        sampled_phase(0, [SampledPart("synthetic", SYNTHETIC, Fraction(1))]),
        sampled_phase(24, [SampledPart("real", REAL, Fraction(1)), SampledPart("synthetic", SYNTHETIC, Fraction(1))]),
    ]
    items = list(MixSampler(phases, 0, range(60)))
    assert all(item.sample in SYNTHETIC for item in items[:24])
    assert sum(item.sample in REAL for item in items[24:]) == 18
    assert list(MixSampler(phases, 0, range(30, 60))) == items[30:]


def test_rare_classes_are_seen_as_often_as_their_probability_says() -> None:
    pixels = np.zeros((10, 4), np.int64)
    pixels[:, 0] = 90
    pixels[3, 1], pixels[4:6, 2] = 10, 5
    rare = RareClasses(pixels, 0.1)
    shares = pixels.sum(axis=0)[:3] / pixels.sum()
    expected = np.exp(-shares / 0.1) / np.exp(-shares / 0.1).sum()
    found = Counter(rare.at(seed) for seed in range(4000))
    assert found[3] / 4000 == pytest.approx(expected[1] + expected[0] / 10, abs=0.03)
    assert (found[4] + found[5]) / 4000 == pytest.approx(expected[2] + expected[0] / 5, abs=0.03)


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
    arm = Mix("m", real, synthetic).arm
    found = arm.weight_of("synthetic") / (arm.weight_of("synthetic") + arm.weight_of("real"))
    assert float(found) == pytest.approx(share)


@pytest.mark.parametrize(("real", "synthetic"), [(0, 0), (-1, 2), (1, -0.5)])
def test_impossible_weights_are_refused(real: float, synthetic: float) -> None:
    with pytest.raises(UserError, match="mix 'odd'"):
        Mix("odd", real, synthetic)
