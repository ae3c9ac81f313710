"""Choosing images of a set: by the classes that they show, by name, or a share of them.

The chosen images are distinct. A choice depends on the keys and the seed, and not on the order of the keys.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError
from pipeline.datasets.files.decoding import IMAGE_SUFFIXES
from pipeline.datasets.files.tree import enumerate_some
from pipeline.datasets.record import make_key

# As in DAFormer (Hoyer et al., CVPR 2022) and DGInStyle.
TEMPERATURE = 0.01


@dataclass(frozen=True)
class ClassCounts:
    """Number of pixels of each class in each image: ``pixels`` int64 [N, C], one row for each of ``keys``, sorted."""

    keys: tuple[str, ...]
    pixels: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, NDArray[np.int64]]], classes: int) -> ClassCounts:
        """The counts int64 [C] of each key, given in any order."""
        ordered = sorted(rows, key=lambda row: row[0])
        pixels = np.stack([counts for _, counts in ordered]) if ordered else np.zeros((0, classes), np.int64)
        return cls(tuple(key for key, _ in ordered), pixels)

    def among(self, keys: Collection[str]) -> ClassCounts:
        """The counts of these images only."""
        wanted = set(keys)
        rows = [row for row, key in enumerate(self.keys) if key in wanted]
        return ClassCounts(tuple(self.keys[row] for row in rows), self.pixels[rows])


def rare_class_probabilities(shares: NDArray[np.float64], temperature: float = TEMPERATURE) -> NDArray[np.float64]:
    """P(c) = exp((1 - f_c) / T) / sum of them over all classes, for the pixel shares f [C]; DAFormer, equation 9."""
    scores = (1 - shares) / temperature
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def rare_class_sample(
    counts: ClassCounts, samples: int, temperature: float = TEMPERATURE, seed: int = 0
) -> frozenset[str]:
    """``samples`` different images: a class is chosen with P(c), then one of the images that show it, uniformly.

    Each image is taken once. Classes without a remaining image are not chosen. Fewer images are returned where no
    others show any class.
    """
    rng = np.random.default_rng(seed)
    members = _members(counts, rng)
    shares = counts.pixels.sum(axis=0) / max(int(counts.pixels.sum()), 1)
    chosen: set[int] = set()
    left = [index for index, rows in enumerate(members) if rows]
    probabilities = rare_class_probabilities(shares[left], temperature) if left else None
    while left and len(chosen) < samples:
        index = left[int(rng.choice(len(left), p=probabilities))]
        if members[index]:
            chosen.add(members[index].pop())
        else:
            left.remove(index)
            probabilities = rare_class_probabilities(shares[left], temperature) if left else None
    return frozenset(counts.keys[row] for row in chosen)


def per_class_sample(counts: ClassCounts, number: int, seed: int = 0) -> frozenset[str]:
    """Images such that at least ``number`` of them show each class, or all that do.

    The rarest classes choose first, and images chosen for them count for the others too.
    """
    members = _members(counts, np.random.default_rng(seed))
    shows = counts.pixels > 0
    chosen: set[int] = set()
    have = np.zeros(shows.shape[1], np.int64)
    for index in sorted(range(len(members)), key=lambda index: len(members[index])):
        for row in members[index]:
            if have[index] >= number:
                break
            if row not in chosen:
                chosen.add(row)
                have += shows[row]
    return frozenset(counts.keys[row] for row in chosen)


def fraction_sample(keys: Collection[str], share: float, seed: int = 0) -> frozenset[str]:
    """The nearest whole number to ``share`` (0..1) of the keys, at least one; a larger share contains a smaller."""

    def place(key: str) -> bytes:
        return hashlib.sha256(f"{seed}\0{key}".encode()).digest()

    return frozenset(sorted(keys, key=place)[: share_of(len(keys), share)])


def share_of(count: int, share: float) -> int:
    """The number of keys that ``fraction_sample`` takes of ``count``."""
    return min(count, max(1, round(share * count)))


def named_sample(keys: Mapping[str, Collection[str]], wanted: Collection[str]) -> frozenset[str]:
    """The keys that ``wanted`` names, among those of each split.

    A name is a key or the part of it after the split, with or without the suffix of an image file. A name that is
    exactly a key means that key. Raises UserError for names that no key has, with the nearest keys, and for a name in
    several splits.
    """
    known = frozenset(key for found in keys.values() for key in found)
    meant = {name: _meant(name, keys, known) for name in wanted}
    if unknown := sorted(name for name, found in meant.items() if not found):
        near = difflib.get_close_matches(unknown[0], sorted(known), n=2, cutoff=0)
        raise UserError(
            f"{len(unknown)} of {len(meant)} keys are not in {' and '.join(keys)}: {enumerate_some(unknown)}; "
            f"a key is <split>_<name> or <name>, such as {' and '.join(near)}"
        )
    if twice := [name for name, found in meant.items() if len(found) > 1]:
        raise UserError(f"{twice[0]!r} is in several splits: give {' or '.join(sorted(meant[twice[0]]))}")
    return frozenset(key for found in meant.values() for key in found)


def _meant(name: str, splits: Collection[str], known: Collection[str]) -> set[str]:
    """The known keys that a name means, tried from the most literal reading."""
    path = PurePosixPath(name)
    bare = str(path.with_suffix("")) if path.suffix.lower() in IMAGE_SUFFIXES else name
    ways = [way for plain in (name, bare) for way in ({plain}, {make_key(split, plain) for split in splits})]
    return next((found for way in ways if (found := {key for key in way if key in known})), set())


def _members(counts: ClassCounts, rng: np.random.Generator) -> list[list[int]]:
    """Rows of the images that show each class, in random order."""
    return [rng.permutation(np.flatnonzero(column > 0)).tolist() for column in counts.pixels.T]
