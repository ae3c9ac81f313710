"""Curves of bases from sums over held-out images, which add up over batches and workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from augment.layouts.curves import Curves, KPoint
from augment.layouts.encoding import cells_of
from augment.layouts.known_changes import KNOWN_CHANGES
from augment.layouts.leaks import LeakMoments, leaks
from augment.layouts.moments import FeatureMoments
from augment.layouts.position import PositionMoments
from augment.layouts.probing import miou_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from augment.layouts.basis import LayoutBasis
    from augment.layouts.encoding import Batch, Encoder
    from augment.layouts.readers import Readers

# The name of the unchanged images among the changed ones.
ORIGINAL = "original"


@dataclass(frozen=True)
class Sums:
    """What is measured of one basis on held-out images; sums of disjoint sets add up.

    Attributes:
        features: moments of the features of the images.
        cells: moments of the cells of their layouts.
        position: what the position explains of the cells.
        leaks: of layouts under random changes.
        moved: of each known change, `float64 [K]`: sum over cells of the squared difference that it makes.
        counts: of the images (`original`) and of each known change, `int64 [len(probes), 3, num_classes]`: what the
            probe of each k reads; see `LinearProbe.counts`.
    """

    features: FeatureMoments
    cells: FeatureMoments
    position: PositionMoments
    leaks: LeakMoments
    moved: Mapping[str, NDArray[np.float64]]
    counts: Mapping[str, NDArray[np.int64]]

    def merge(self, other: Sums) -> Sums:
        """Those of the union of two disjoint sets."""
        return Sums(
            self.features.merge(other.features),
            self.cells.merge(other.cells),
            self.position.merge(other.position),
            self.leaks.merge(other.leaks),
            {name: moved + other.moved[name] for name, moved in self.moved.items()},
            {name: counts + other.counts[name] for name, counts in self.counts.items()},
        )


def merged_sums(parts: Iterable[Mapping[str, Sums]]) -> dict[str, Sums]:
    """Merge the sums of each basis, in the order of the parts: a fixed order gives the same bits."""
    found: dict[str, Sums] = {}
    for part in parts:
        for name, sums in part.items():
            found[name] = found[name].merge(sums) if name in found else sums
    return found


def sums_of(
    encoder: Encoder,
    readers: Mapping[str, Readers],
    batches: Iterable[Batch],
    changes: Sequence[str] = tuple(KNOWN_CHANGES),
) -> dict[str, Sums]:
    """What is measured of each basis on held-out images; memory holds a batch under one change.

    Args:
        encoder: of the bases.
        readers: of each basis.
        batches: of images, one or more.
        changes: names of known changes to apply.
    """
    return merged_sums(_sums_of_batch(encoder, readers, batch, changes) for batch in batches)


def _sums_of_batch(
    encoder: Encoder, readers: Mapping[str, Readers], batch: Batch, changes: Sequence[str]
) -> dict[str, Sums]:
    images, classes, seeds = batch
    features = encoder.features(images)
    moments = {flag: FeatureMoments.of(found.movedim(1, -1).flatten(0, 2)) for flag, found in features.items()}
    layouts = encoder.projected(features)
    original = {name: cells_of(found).astype(np.float32) for name, found in layouts.items()}
    moved: dict[str, dict[str, NDArray[np.float64]]] = {name: {} for name in original}
    counts = {name: {ORIGINAL: _counts(readers[name], cells, classes)} for name, cells in original.items()}
    for change in changes:
        copies = np.stack([KNOWN_CHANGES[change](*each) for each in zip(images, seeds, strict=True)])
        for name, found in encoder.layouts(copies).items():
            cells = cells_of(found).astype(np.float32)
            moved[name][change] = np.square(cells - original[name]).sum(axis=0, dtype=np.float64)
            counts[name][change] = _counts(readers[name], cells, classes)
    leaked = encoder.leaks(images, seeds)
    return {
        name: Sums(
            moments[encoder.bases[name].standardized],
            FeatureMoments.of(cells),
            PositionMoments.of(cells.astype(np.float64), *classes.shape[1:]),
            leaked[name],
            moved[name],
            counts[name],
        )
        for name, cells in original.items()
    }


def _counts(readers: Readers, cells: NDArray[np.float32], classes: NDArray[np.int64]) -> NDArray[np.int64]:
    counts = [probe.counts(cells[:, :k], classes.ravel()) for k, probe in readers.probes.items()]
    return np.stack(counts) if counts else np.zeros((0, 3, 0), np.int64)


def curves_of(basis: LayoutBasis, readers: Readers, sums: Sums, ks: Sequence[int]) -> Curves:
    """The curves of a basis.

    Args:
        basis: the basis.
        readers: fitted on training images.
        sums: over held-out images.
        ks: those that the probes were fitted at.
    """
    cells = sums.cells.count
    spread = np.maximum(np.sqrt(np.diag(sums.cells.covariance)), 1e-6)
    shifts = {name: tuple((np.sqrt(moved / cells) / spread).tolist()) for name, moved in sums.moved.items()}
    positions = (np.diag(sums.position.explained) / spread**2).clip(0, 1)
    scores: dict[int, dict[str, float]] = {k: {} for k in ks}
    # Without a held-out cell that has a class, nothing is known.
    if sums.counts[ORIGINAL].any():
        for name, counts in sums.counts.items():
            for k, of_probe in zip(readers.probes, counts, strict=True):
                scores[k][name] = miou_of(of_probe)
    leaked = leaks(readers.leaks, sums.leaks, ks)
    points = tuple(
        KPoint(
            k,
            basis.explained_variance(k, sums.features),
            scores[k].pop(ORIGINAL, None),
            scores[k],
            *leaked[k],
            float(positions[:k].mean()),
        )
        for k in ks
    )
    return Curves(points, shifts, tuple(positions.tolist()))
