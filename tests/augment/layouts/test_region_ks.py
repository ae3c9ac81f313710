"""A cell has the most components, and the most control, that a class asks for which has a quarter of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.layouts.region_ks import RegionKs, RegionStrengths
from augment.layouts.scene import in_blocks

SKY, PERSON, OTHER = 0, 1, 2


def one_cell(**pixels: int) -> np.ndarray:
    """A label of one cell with so many pixels of each class."""
    ids = {"sky": SKY, "person": PERSON, "other": OTHER, "ignored": 255}
    values = [ids[name] for name, count in pixels.items() for _ in range(count)]
    return np.array(values, np.uint8).reshape(8, 8)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (one_cell(sky=64), 1),
        (one_cell(person=64), 20),
        (one_cell(other=64), 5),
        (one_cell(sky=48, person=16), 20),
        (one_cell(sky=49, person=15), 1),
        (one_cell(sky=48, other=16), 5),
        (one_cell(ignored=60, person=1, sky=3), 20),
        (one_cell(ignored=64), 5),
    ],
)
def test_a_class_counts_with_a_quarter_of_the_labelled_pixels(label: np.ndarray, expected: int) -> None:
    assert RegionKs({SKY: 1, PERSON: 20}).cells(label, 5).tolist() == [[expected]]


@given(
    st.integers(0, 1000), st.sampled_from([np.uint8, np.uint16]), st.dictionaries(st.integers(0, 6), st.integers(0, 9))
)
def test_every_cell_has_the_k_of_one_of_its_classes_or_that_of_the_image(
    seed: int, dtype: type, ks: dict[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    ignored = int(np.iinfo(dtype).max)
    coarse = rng.choice([*range(7), ignored], size=(8, 12)).astype(dtype)
    label = coarse.repeat(4, axis=0).repeat(4, axis=1)
    found = RegionKs(ks, ignored).cells(label, 4)
    assert found.shape == (4, 6) and found.dtype == np.int64
    for row, column in np.ndindex(found.shape):
        block = in_blocks(label)[row, :, column]
        known = np.unique(block[block != ignored]).tolist()
        # Each quarter of a cell has one class here, so every class counts.
        expected = max((ks.get(train_id, 4) for train_id in known), default=4)
        assert found[row, column] == expected


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (one_cell(sky=64), 0.5),
        (one_cell(person=16, sky=48), 1.25),
        (one_cell(other=16, sky=48), 1),
        (one_cell(ignored=63, sky=1), 0.5),
        (one_cell(ignored=64), 1),
    ],
)
def test_strengths_follow_the_same_rule_and_are_1_elsewhere(label: np.ndarray, expected: float) -> None:
    found = RegionStrengths({SKY: 0.5, PERSON: 1.25}).cells(label)
    assert found.dtype == np.float32 and found.tolist() == [[expected]]


def test_without_classes_every_cell_has_the_k_of_the_image() -> None:
    label = np.random.default_rng(0).integers(0, 19, (32, 64)).astype(np.uint8)
    assert (RegionKs({}).cells(label, 7) == 7).all()
