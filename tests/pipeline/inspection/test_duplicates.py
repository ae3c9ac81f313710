"""Copies of an image are found however they were saved; other images are not taken for copies."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from pipeline.inspection.duplicates import (
    DISTANCE,
    MOST_DISTANCE,
    NearDuplicate,
    closest,
    distances,
    image_hash,
    near_pairs,
)

Picture = NDArray[np.uint8]


def recompressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=50)
    return Image.open(buffer)


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG": recompressed,
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.BILINEAR),
    "another aspect": lambda image: image.resize((400, 400), Image.Resampling.BICUBIC),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.85),
}


def test_a_bit_is_set_where_it_grows_brighter_to_the_right_row_by_row() -> None:
    image = np.zeros((80, 90, 3), np.uint8)
    image[:, 50:] = 200  # between the fifth and the sixth of nine columns
    image[70:] = 0
    image[70:, 80:] = 200
    assert image_hash(image) == int.from_bytes(bytes([0b00001000] * 7 + [0b00000001]), "big")


def scene(seed: int) -> Image.Image:
    """Smooth random shapes: neighbouring pixels are alike, as in photographs."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC)


def hash_of(image: Image.Image) -> int:
    value = image_hash(np.asarray(image.convert("RGB")))
    assert value is not None
    return value


def bits_between(one: int, other: int) -> int:
    return (one ^ other).bit_count()


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_an_edited_copy_is_near_its_original(edit: Callable[[Image.Image], Image.Image]) -> None:
    for seed in range(20):
        assert bits_between(hash_of(scene(seed)), hash_of(edit(scene(seed)))) <= DISTANCE


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_flat_image_has_no_hash(grey: int) -> None:
    assert image_hash(np.full((48, 64, 3), grey, np.uint8)) is None


def test_other_scenes_are_far_away() -> None:
    hashes = np.array([hash_of(scene(seed)) for seed in range(200)], np.uint64)
    assert len(near_pairs(hashes, MOST_DISTANCE)) == 0


def flipped(value: int, bits: list[int]) -> int:
    for bit in bits:
        value ^= 1 << bit
    return value


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12),
    flips=st.lists(st.tuples(st.integers(0, 11), st.lists(st.integers(0, 63), max_size=9)), max_size=12),
    distance=st.integers(0, MOST_DISTANCE),
)
def test_all_near_pairs_and_no_others_are_found(
    values: list[int], flips: list[tuple[int, list[int]]], distance: int
) -> None:
    hashes = sorted({*values, *(flipped(values[index % len(values)], bits) for index, bits in flips)})
    expected = [
        (first, second, bits_between(hashes[first], hashes[second]))
        for first in range(len(hashes))
        for second in range(first + 1, len(hashes))
        if bits_between(hashes[first], hashes[second]) <= distance
    ]
    assert near_pairs(np.array(hashes, np.uint64), distance).tolist() == [list(row) for row in expected]


def test_candidates_in_portions_give_the_same_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    # Hashes that share most of their bands, so that nearly every pair is a candidate.
    hashes = np.unique(np.uint64(0xABCD_EF01_2345_0000) + rng.integers(0, 256, 100).astype(np.uint64))
    whole = near_pairs(hashes, 5)
    monkeypatch.setattr("pipeline.inspection.duplicates._CANDIDATES_AT_ONCE", 7)
    np.testing.assert_array_equal(near_pairs(hashes, 5), whole)
    assert len(whole) > len(hashes)


def test_a_large_set_takes_no_quadratic_number_of_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    def counting(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.int64]:
        nonlocal compared
        compared += len(one)
        return distances(one, other)

    monkeypatch.setattr("pipeline.inspection.duplicates.distances", counting)
    hashes = np.random.default_rng(0).integers(0, 2**64, 50_000, dtype=np.uint64)
    near_pairs(np.unique(hashes), DISTANCE)
    assert compared < 50_000**2 / 2 / 500


def test_the_nearest_of_each_split_is_reported_across_splits_first() -> None:
    images = [("t1", "train", 0b0000), ("t2", "train", 0b0001), ("v1", "val", 0b0011), ("v2", "val", 0b0001 << 40)]
    keys, splits, values = zip(*images, strict=True)
    assert closest(keys, splits, np.array(values, np.uint64), 1) == [
        NearDuplicate("t1", "train", "v2", "val", 1),
        NearDuplicate("t2", "train", "v1", "val", 1),
        NearDuplicate("v1", "val", "t2", "train", 1),
        NearDuplicate("v2", "val", "t1", "train", 1),
        NearDuplicate("t1", "train", "t2", "train", 1),
        NearDuplicate("t2", "train", "t1", "train", 1),
    ]


def test_many_equal_images_are_reported_once_each() -> None:
    keys = [f"k{number:04d}" for number in range(3000)]
    splits = ["val" if number == 7 else "train" for number in range(3000)]
    found = closest(keys, splits, np.full(3000, 5, np.uint64), DISTANCE)
    assert found[0] == NearDuplicate("k0000", "train", "k0007", "val", 0)
    assert len(found) == 2999 + 1 + 2999
    assert all(pair.key != pair.other for pair in found)


def test_equal_images_do_not_hide_the_near_one_of_another_split() -> None:
    keys, splits = ["a", "b", "c"], ["train", "train", "val"]
    found = closest(keys, splits, np.array([0, 0, 3], np.uint64), 2)
    assert NearDuplicate("c", "val", "a", "train", 2) in found
    assert NearDuplicate("a", "train", "c", "val", 2) in found


def test_copies_of_real_frames_are_found_and_the_splits_share_none(camvid_root: Path) -> None:
    paths = {split: sorted((camvid_root / split).iterdir()) for split in ("train", "val")}
    hashes, splits, keys = [], [], []
    for split, found in paths.items():
        for path in found[::4]:
            hashes.append(hash_of(Image.open(path)))
            splits.append(split)
            keys.append(path.stem)
    planted = {f"copy of {path.stem}: {name}": edit for path in paths["val"][::20] for name, edit in EDITS.items()}
    for name, edit in planted.items():
        stem = name.removeprefix("copy of ").partition(":")[0]
        [path] = [path for path in paths["val"] if path.stem == stem]
        hashes.append(hash_of(edit(Image.open(path).convert("RGB"))))
        splits.append("planted")
        keys.append(name)
    found = closest(keys, splits, np.array(hashes, np.uint64))
    assert {pair.key for pair in found if (pair.split, pair.other_split) == ("planted", "val")} == set(planted)
    assert [pair for pair in found if {pair.split, pair.other_split} == {"train", "val"}] == []
    alike = sum((pair.split, pair.other_split) == ("train", "train") for pair in found)
    assert alike < 0.1 * splits.count("train")
