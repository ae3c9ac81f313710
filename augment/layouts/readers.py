"""Readers of layouts, fitted on training images batch by batch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from augment.layouts.encoding import cells_of
from augment.layouts.probing import UNLABELLED, LinearProbe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from augment.layouts.encoding import Batch, Encoder, Layouts
    from augment.layouts.leaks import LeakMoments

# A probe is fitted on every n-th labelled cell where there are more than twice as many; all would take minutes. So
# memory holds at most twice as many cells, in float16.
MOST_CELLS = 50_000


@dataclass(frozen=True)
class Readers:
    """What reads the layouts of one basis, fitted on training images.

    Attributes:
        probes: for the classes, by k; empty without labels.
        leaks: what regressions on the layouts of changed images need.
    """

    probes: Mapping[int, LinearProbe]
    leaks: LeakMoments


def fit_readers(
    encoder: Encoder, batches: Iterable[Batch], labelled: int, ks: Mapping[str, Sequence[int]], num_classes: int
) -> dict[str, Readers]:
    """Fit the readers of each basis on training images.

    Args:
        encoder: of the bases.
        batches: of images, one or more.
        labelled: how many cells of all these images have a class.
        ks: of each basis, numbers of components, ascending.
        num_classes: number of classes; 0 if the images have no labels.
    """
    picked = _PickedCells(labelled if num_classes else 0)
    leaks: dict[str, LeakMoments] = {}
    for images, classes, seeds in batches:
        picked.take(encoder.layouts(images), classes)
        for name, found in encoder.leaks(images, seeds).items():
            leaks[name] = leaks[name].merge(found) if name in leaks else found
    return {name: Readers(picked.probes(name, ks[name], num_classes), leaks[name]) for name in encoder.bases}


@dataclass
class _PickedCells:
    """The cells that probes are fitted on: every n-th of those that have a class, `labelled` in all."""

    labelled: int
    seen: int = 0
    classes: list[NDArray[np.int64]] = field(default_factory=list)
    rows: dict[str, list[Layouts]] = field(default_factory=dict)

    def take(self, layouts: Mapping[str, Layouts], classes: NDArray[np.int64]) -> None:
        """Pick from the next images: their layouts in each basis, and their classes `[B, h, w]`."""
        if not self.labelled:
            return
        step = max(1, self.labelled // MOST_CELLS)
        # With a factor in common, the cells would all be in a few columns of the images.
        while math.gcd(step, classes.shape[2]) > 1:
            step += 1
        known = np.flatnonzero(classes != UNLABELLED)
        places = known[-self.seen % step :: step]
        self.seen += len(known)
        self.classes.append(classes.ravel()[places])
        for name, found in layouts.items():
            self.rows.setdefault(name, []).append(cells_of(found)[places])

    def probes(self, name: str, ks: Sequence[int], num_classes: int) -> dict[int, LinearProbe]:
        """Probes of the cells in one of the bases, by k; none if no cell has a class."""
        if not self.labelled:
            return {}
        rows, classes = np.concatenate(self.rows.pop(name)).astype(np.float32), np.concatenate(self.classes)
        return {k: LinearProbe(rows[:, :k], classes, num_classes) for k in ks}
