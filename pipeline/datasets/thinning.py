"""A few of many items, from all over them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")

# The golden ratio less 1: its multiples lie evenly over 0..1, however many there are, and never repeat.
_STEP = 0.6180339887498949


def thinned(items: Sequence[T], limit: int | None) -> Sequence[T]:
    """At most ``limit`` of the items in their order, one of each of as many equal runs; all of them for None.

    The place within a run moves. At a fixed one, tiles of an image and variants of a source, which come in the same
    order each time, would often all be the same tile or variant.
    """
    if limit is None or len(items) <= limit:
        return items
    bounds = [index * len(items) // limit for index in range(limit + 1)]
    places = (index * _STEP % 1 for index in range(limit))
    return [
        items[start + int(place * (end - start))] for place, (start, end) in zip(places, pairwise(bounds), strict=True)
    ]


def spread(count: int, most: int) -> list[int]:
    """At most ``most`` of the places 0..count-1, in an order of which every beginning is spread over all of them."""
    places = (int(index * _STEP % 1 * count) for index in range(2 * min(count, most)))
    return list(dict.fromkeys([*places, *range(min(count, 4 * most))]))[: min(count, most)]
