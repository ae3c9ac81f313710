"""Read labels from all over a split, as many as it takes to know what they contain."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.checks.label_rules import LabelCounts
from pipeline.datasets.record import Label
from pipeline.datasets.thinning import spread
from pipeline.engine import Failed

# Masks of a split that are always checked, and the most that are checked where these leave a doubt.
_FEW, MANY = 16, 2048
# Pixels of masks after which no more are read, without and with a doubt: 64 and 1024 frames of Cityscapes.
_FEW_PIXELS, _MANY_PIXELS = 1 << 27, 1 << 31
_THREADS = 4


@dataclass
class LabelScan:
    """Reads labels of a split and counts their pixels by class.

    Attributes:
        split: its name.
        total: its labelled images.
        pixels: of each class, int64 [C].
        ignored: pixels without a class.
        read: labels that were read.
        failures: those that could not be read.
    """

    split: str
    total: int
    pixels: NDArray[np.int64]
    ignored: int = 0
    read: int = 0
    failures: list[Failed] = field(default_factory=list)

    @property
    def tried(self) -> int:
        """Labels that were read or could not be."""
        return self.read + len(self.failures)

    def add(self, found: Label | Failed, ignore_index: int) -> None:
        """Count a label."""
        if isinstance(found, Failed):
            self.failures.append(found)
            return
        counts = np.bincount(found.ravel(), minlength=ignore_index + 1)
        self.read += 1
        self.pixels += counts[: len(self.pixels)]
        self.ignored += int(counts[ignore_index])

    def run(
        self, load: Callable[[int], Label | Failed | None], ignore_index: int, doubtful: Callable[[], bool]
    ) -> None:
        """Read labels from all over the split until they are enough and no doubt is left.

        Args:
            load: gives the label at a place in the split.
            ignore_index: of the labels.
            doubtful: whether the labels read so far leave a doubt.
        """
        order = spread(self.total, MANY)
        with ThreadPoolExecutor(_THREADS, "label-check") as pool:
            for start in range(0, len(order), _THREADS):
                pixels = int(self.pixels.sum()) + self.ignored
                enough = start >= _FEW or pixels > _FEW_PIXELS
                if pixels > _MANY_PIXELS or (enough and not doubtful()):
                    return
                for found in pool.map(load, order[start : start + _THREADS]):
                    if found is not None:
                        self.add(found, ignore_index)

    def counts(self, table: NDArray[np.unsignedinteger] | None = None, classes: int = 0) -> LabelCounts:
        """The counts by class, or by the ``classes`` of another taxonomy that ``table`` maps the classes to."""
        if table is None:
            return LabelCounts(self.split, self.pixels, self.ignored, self.read, self.total)
        mapped = table[: len(self.pixels)]
        known = mapped < classes
        pixels = np.zeros(classes, np.int64)
        np.add.at(pixels, mapped[known], self.pixels[known])
        ignored = self.ignored + int(self.pixels[~known].sum())
        return LabelCounts(self.split, pixels, ignored, self.read, self.total)
