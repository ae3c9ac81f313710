"""A few of many items, spread evenly over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")

# The golden ratio minus 1: any number of its multiples, modulo 1, is spread evenly over 0..1 and never repeats.
_STEP = 0.6180339887498949


def evenly_spaced(items: Sequence[T], limit: int | None) -> Sequence[T]:
    """At most ``limit`` of the items in their order, the first of each of ``limit`` equal runs, or all for None."""
    if limit is None or len(items) <= limit:
        return items
    return [items[index * len(items) // limit] for index in range(limit)]


def thinned(items: Sequence[T], limit: int | None) -> Sequence[T]:
    """At most ``limit`` of the items in their order, one of each of ``limit`` equal runs; all of them for None.

    The place within a run varies. At a fixed place, the same tile of each image or the same variant of each source
    would often be taken, as these repeat in the same order.
    """
    if limit is None or len(items) <= limit:
        return items
    bounds = [index * len(items) // limit for index in range(limit + 1)]
    places = (index * _STEP % 1 for index in range(limit))
    return [
        items[start + int(place * (end - start))] for place, (start, end) in zip(places, pairwise(bounds), strict=True)
    ]


def spread(count: int, most: int) -> list[int]:
    """At most ``most`` of the indices 0..count-1, ordered so that the first few are spread over all of them too."""
    places = (int(index * _STEP % 1 * count) for index in range(2 * min(count, most)))
    return list(dict.fromkeys([*places, *range(min(count, 4 * most))]))[: min(count, most)]
