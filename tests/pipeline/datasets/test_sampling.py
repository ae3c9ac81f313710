"""What is chosen follows the formula, the seed and the keys alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from augment.errors import UserError
from pipeline.datasets.record import make_key
from pipeline.datasets.sampling import (
    ClassCounts,
    fraction_sample,
    named_sample,
    per_class_sample,
    rare_class_probabilities,
    rare_class_sample,
)


@st.composite
def class_counts(draw: st.DrawFn) -> ClassCounts:
    """Up to 30 images of up to 6 classes, some without any class, some classes without any image."""
    classes = draw(st.integers(1, 6))
    rows = draw(st.lists(st.lists(st.integers(0, 9), min_size=classes, max_size=classes), min_size=1, max_size=30))
    return ClassCounts(tuple(f"k{row:02d}" for row in range(len(rows))), np.array(rows, np.int64))


def images_with(counts: ClassCounts, keys: frozenset[str]) -> np.ndarray:
    """How many of these images show each class."""
    return (counts.among(keys).pixels > 0).sum(axis=0)


def test_probabilities_are_those_of_the_formula() -> None:
    shares = np.array([0.9, 0.08, 0.015, 0.005])
    weights = [2.718281828459045 ** ((1 - share) / 0.05) for share in shares]
    np.testing.assert_allclose(rare_class_probabilities(shares, 0.05), np.array(weights) / sum(weights), rtol=1e-9)
    # The road of a street scene at DAFormer's temperature: no overflow, and never chosen.
    assert rare_class_probabilities(np.array([0.37, 0.001]), 0.01)[0] < 1e-15
    np.testing.assert_allclose(rare_class_probabilities(np.array([1.0, 0.0]), 1e-4), [0, 1])


def test_classes_are_sampled_as_often_as_the_formula_says() -> None:
    # Each image shows one class, so that the first image shows the class that was chosen.
    images = [60, 25, 10, 5]
    pixels = np.repeat(np.diag([100, 40, 20, 10]), images, axis=0)
    counts = ClassCounts(tuple(f"k{row:03d}" for row in range(100)), pixels)
    shares = pixels.sum(axis=0) / pixels.sum()
    chosen = [counts.among(rare_class_sample(counts, 1, 0.4, seed)).pixels.argmax() for seed in range(4000)]
    observed = np.bincount(chosen, minlength=4)
    expected = 4000 * rare_class_probabilities(shares, 0.4)
    assert chisquare(observed, expected).pvalue > 1e-3
    # The same test detects a choice of images that ignores classes.
    assert chisquare(observed, 4000 * np.array(images) / 100).pvalue < 1e-9


def test_images_of_a_class_are_equally_likely() -> None:
    counts = ClassCounts(tuple("abcdefgh"), np.array([[1]] * 8))
    chosen = [next(iter(rare_class_sample(counts, 1, seed=seed))) for seed in range(4000)]
    assert chisquare(np.unique(chosen, return_counts=True)[1]).pvalue > 1e-3


def test_rare_classes_are_all_represented_where_chance_would_miss_them() -> None:
    rng = np.random.default_rng(0)
    pixels = np.zeros((1000, 10), np.int64)
    pixels[:, 0] = 10_000
    for index in range(1, 10):
        pixels[rng.choice(1000, 4, replace=False), index] = 50
    counts = ClassCounts(tuple(f"k{row:04d}" for row in range(1000)), pixels)
    chosen = rare_class_sample(counts, 30)
    assert len(chosen) == 30
    assert (images_with(counts, chosen) > 0).all()
    by_chance = fraction_sample(counts.keys, 0.03)
    assert not (images_with(counts, by_chance) > 0).all()


@settings(max_examples=150, deadline=None)
@given(counts=class_counts(), samples=st.integers(1, 40), seed=st.integers(0, 99), order=st.randoms())
def test_rare_class_samples_are_distinct_and_do_not_depend_on_the_order(
    counts: ClassCounts, samples: int, seed: int, order: st.DataObject
) -> None:
    chosen = rare_class_sample(counts, samples, seed=seed)
    classed = int((counts.pixels.sum(axis=1) > 0).sum())
    assert len(chosen) == min(samples, classed)
    rows = list(zip(counts.keys, counts.pixels, strict=True))
    order.shuffle(rows)  # type: ignore[attr-defined]
    assert rare_class_sample(ClassCounts.of(rows, counts.pixels.shape[1]), samples, seed=seed) == chosen


@settings(max_examples=150, deadline=None)
@given(counts=class_counts(), number=st.integers(1, 12), seed=st.integers(0, 99))
def test_each_class_has_the_number_requested_or_all_there_are(counts: ClassCounts, number: int, seed: int) -> None:
    chosen = per_class_sample(counts, number, seed)
    there = images_with(counts, frozenset(counts.keys))
    have = images_with(counts, chosen)
    assert (have >= np.minimum(number, there)).all()
    assert len(chosen) <= np.minimum(number, there).sum()
    assert per_class_sample(counts, number, seed) == chosen


def test_an_image_that_is_taken_for_a_rare_class_serves_the_frequent_ones() -> None:
    counts = ClassCounts(tuple("abcdefgh"), np.array([[1, 0]] * 7 + [[1, 1]]))
    assert all(per_class_sample(counts, 1, seed) == {"h"} for seed in range(8))


@settings(max_examples=150, deadline=None)
@given(
    keys=st.sets(st.text("abcdef0123", min_size=1, max_size=6), min_size=1, max_size=60),
    share=st.floats(0.001, 1),
    smaller=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_a_fraction_has_its_size_and_holds_every_smaller_one(
    keys: set[str], share: float, smaller: float, seed: int
) -> None:
    chosen = fraction_sample(sorted(keys), share, seed)
    assert chosen == fraction_sample(sorted(keys, reverse=True), share, seed)
    assert len(chosen) == max(1, round(share * len(keys)))
    assert fraction_sample(keys, share * smaller, seed) <= chosen <= keys


def test_another_seed_gives_another_choice() -> None:
    keys = tuple(f"k{row:03d}" for row in range(200))
    counts = ClassCounts(keys, np.ones((200, 3), np.int64))
    for sample in (
        lambda seed: rare_class_sample(counts, 50, seed=seed),
        lambda seed: per_class_sample(counts, 50, seed),
        lambda seed: fraction_sample(keys, 0.25, seed),
    ):
        assert sample(0) != sample(1)
        assert len(sample(0)) == len(sample(1)) == 50


def test_unknown_keys_are_named_beside_the_nearest_and_the_form() -> None:
    keys = {"train": ["train_street_17", "train_street_18", "train_zebra"], "val": ["val_quay_3"]}
    assert named_sample(keys, ["val_quay_3", "train_zebra"]) == {"val_quay_3", "train_zebra"}
    with pytest.raises(UserError) as error:
        named_sample(keys, ["train_street_19", "val_quay_3", "x"])
    assert str(error.value) == (
        "2 of 3 keys are not in train and val: train_street_19, x; "
        "a key is <split>_<name> or <name>, such as train_street_18 and train_street_17"
    )
    # However far from all of them.
    with pytest.raises(UserError, match=r"such as val_quay_3$"):
        named_sample({"val": keys["val"]}, ["!"])


@pytest.mark.parametrize("name", ["night/a b", "night/a b.JPG", make_key("train", "night/a b")])
def test_a_key_may_lack_its_split_and_have_the_suffix_of_its_file(name: str) -> None:
    key = make_key("train", "night/a b")
    assert named_sample({"train": [key, "train_other"], "val": ["val_b"]}, [name]) == {key}


def test_a_name_of_several_splits_needs_its_split() -> None:
    keys = {"train": ["train_a"], "val": ["val_a"]}
    with pytest.raises(UserError, match=r"^'a\.png' is in several splits: give train_a or val_a$"):
        named_sample(keys, ["a.png"])
    assert named_sample(keys, ["val_a.png"]) == {"val_a"}
    # The literal name goes first: the image train/train_a is another one.
    assert named_sample({"train": ["train_a", "train_train_a"]}, ["train_a"]) == {"train_a"}
