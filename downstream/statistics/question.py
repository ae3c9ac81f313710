"""What is asked of a comparison; without libraries that take long to load, because stages make it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """What is asked of a comparison.

    Attributes:
        smallest_gain: of mIoU that is worth having, 0..1.
        looks: seeds at the last look, where the results are looked at after every seed; None where they are looked at
            once.
    """

    smallest_gain: float = 0.01
    looks: int | None = None
