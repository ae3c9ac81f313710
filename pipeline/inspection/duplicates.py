"""Images that show nearly the same picture, by a perceptual hash, in far less than quadratic time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Of 780 copies of CamVid frames that were compressed, resized, stretched, cut by 1 % on each side, made brighter or
# flatter, all are within 4 bits of the original, and 99.5 % within 3; no two frames of different sequences are.
DISTANCE = 4
MOST_DISTANCE = 7
_SIDE = 8
# Grey levels between the darkest and the brightest cell; below, noise or nothing decides the bits.
_LEAST_CONTRAST = 2.0
_CANDIDATES_AT_ONCE = 1 << 22
_BITS_SET = np.array([value.bit_count() for value in range(1 << 16)], np.uint8)


@dataclass(frozen=True)
class NearDuplicate:
    """An image, and the one of a split that is most like it, ``distance`` of 64 bits away."""

    key: str
    split: str
    other: str
    other_split: str
    distance: int


def image_hash(image: NDArray[np.uint8]) -> int | None:
    """The difference hash of RGB uint8 [H, W, 3]: where brightness grows to the right on a grid of 8 x 9 cells.

    64 bits, row by row. Compression, resizing and changes of brightness hardly change it. None for an image of almost
    no contrast, such as a black one: all such images would be duplicates of one another.
    """
    # Fractions of a grey level decide between cells that are nearly alike.
    grey = np.asarray(Image.fromarray(image).convert("L").convert("F").resize((_SIDE + 1, _SIDE), Image.Resampling.BOX))
    if np.ptp(grey) < _LEAST_CONTRAST:
        return None
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes(), "big")


def near_pairs(hashes: NDArray[np.uint64], distance: int) -> NDArray[np.int64]:
    """All pairs of different hashes at most ``distance`` (0..7) bits apart, as rows (first, second, bits), sorted.

    ``hashes`` uint64 [N] holds each value once; ``first`` < ``second`` are positions in it. Such a pair has at least
    one of ``distance`` + 1 bands of bits in common, so only hashes that share a band are compared.
    """
    if not 0 <= distance <= MOST_DISTANCE:
        raise ValueError(f"distance is {distance}: expected 0..{MOST_DISTANCE}")
    found = [np.empty((0, 3), np.int64)]
    for first, second in _candidates(hashes, distance + 1):
        bits = distances(hashes[first], hashes[second])
        close = bits <= distance
        found.append(np.stack([first[close], second[close], bits[close]], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def distances(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The number of bits in which hashes uint64 [N] differ, int64 [N]."""
    return _BITS_SET[(one ^ other).view(np.uint16)].reshape(-1, 4).sum(axis=1, dtype=np.int64)


def _candidates(hashes: NDArray[np.uint64], bands: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    for start in range(bands):
        # Spread over the image: neighbouring cells are alike, and a band of them would be the same in many images.
        mask = np.uint64(sum(1 << bit for bit in range(start, 64, bands)))
        band = hashes & mask
        order = np.argsort(band, kind="stable")
        ordered = band[order]
        # Each place in the order is paired with those after it that have the same band.
        places = np.arange(len(order))
        lengths = np.searchsorted(ordered, ordered, "right") - places - 1
        for rows in _portions(lengths):
            counts = lengths[rows]
            first = np.repeat(places[rows], counts)
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            one, other = order[first], order[first + 1 + within]
            yield np.minimum(one, other), np.maximum(one, other)


def _portions(lengths: NDArray[np.int64]) -> Iterator[slice]:
    """Ranges of rows with a bounded sum of lengths, or of a single row."""
    ends = np.cumsum(lengths)
    start, taken = 0, 0
    while start < len(lengths):
        stop = max(start + 1, int(np.searchsorted(ends, taken + _CANDIDATES_AT_ONCE, "right")))
        yield slice(start, stop)
        start, taken = stop, int(ends[stop - 1])


def closest(
    keys: Sequence[str], splits: Sequence[str], hashes: NDArray[np.uint64], distance: int = DISTANCE
) -> list[NearDuplicate]:
    """For each image and each split, the image of that split which is most like it, if one is near.

    ``hashes`` are uint64 [N]. Pairs across splits come first, then by distance, splits and keys. One image has at most
    one entry for each split, however many copies it has; of equally near images the lowest key is given.
    """
    names, split_of = np.unique(np.asarray(splits, str), return_inverse=True)
    values, hash_of = np.unique(hashes, return_inverse=True)
    by_key = np.argsort(np.asarray(keys, str), kind="stable")
    # Members of each hash and split, in the order of their keys.
    members: dict[tuple[int, int], list[int]] = {}
    for image in by_key.tolist():
        members.setdefault((int(hash_of[image]), int(split_of[image])), []).append(image)
    neighbours = _neighbours(values, distance)
    found = []
    for image in by_key.tolist():
        own = int(hash_of[image])
        for split, name in enumerate(names.tolist()):
            best = min(
                (
                    (bits, keys[other], other)
                    for value, bits in ((own, 0), *neighbours.get(own, ()))
                    for other in [_first_but(members.get((value, split), ()), image)]
                    if other is not None
                ),
                default=None,
            )
            if best is not None:
                found.append(NearDuplicate(keys[image], splits[image], best[1], name, best[0]))
    return sorted(
        found, key=lambda pair: (pair.split == pair.other_split, pair.distance, pair.split, pair.other_split, pair.key)
    )


def _neighbours(values: NDArray[np.uint64], distance: int) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for first, second, bits in near_pairs(values, distance).tolist():
        found.setdefault(first, []).append((second, bits))
        found.setdefault(second, []).append((first, bits))
    return found


def _first_but(members: Sequence[int], image: int) -> int | None:
    return next((member for member in members[:2] if member != image), None)
