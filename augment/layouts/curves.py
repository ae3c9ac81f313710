"""What the first k components of a basis keep of a scene, and what they keep of how it looks."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from augment.layouts.known_changes import KNOWN_CHANGES, STRENGTHS, random_change
from augment.layouts.moments import FeatureMoments
from augment.layouts.options import SHARES
from augment.layouts.position import PositionMoments
from augment.layouts.probing import UNLABELLED, LinearProbe, explained_share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import torch
    from numpy.typing import NDArray

    from augment.layouts.basis import LayoutBasis

    Images = NDArray[np.uint8]
    Leak = dict[str, float]
    Read = tuple[NDArray[np.floating], NDArray[np.float64]]

# What the bases of a run are called in tables, by their folders in its basis.
TITLES: Mapping[str, str] = {
    "layouts": "the basis that layouts are written in",
    "own": "the basis fitted on this dataset",
    "pca": "the principal components of this dataset",
}
# The name of the unchanged images among the changed ones.
ORIGINAL = "original"
_VARIED = "varied"
# A probe is fitted on every n-th labelled cell where there are more than twice as many; all would take minutes.
MOST_CELLS = 50_000


def mean_of(values: Iterable[float]) -> float | None:
    """The mean; None of nothing."""
    found = list(values)
    return sum(found) / len(found) if found else None


@dataclass(frozen=True)
class Encoded:
    """Images of one split in one basis.

    Attributes:
        layouts: of the images themselves (`original`) and of each of them under known changes, `float16 [N, K, h, w]`.
        varied: of each image under a random change, `float16 [N, K, h, w]`.
        strengths: of the random changes, `float64 [N, 4]`; see `STRENGTHS`.
        classes: of the cells, `int64 [N, h, w]`, -1 for none.
        explained: share (0..1) of the variance of the features that the first 1, 2, ... K components explain.
    """

    layouts: Mapping[str, NDArray[np.float16]]
    varied: NDArray[np.float16]
    strengths: NDArray[np.float64]
    classes: NDArray[np.int64]
    explained: tuple[float, ...]


@dataclass
class Encoder:
    """Encodes images and changed copies of them in several bases at once.

    Attributes:
        encode: gives features `float [B, C, h, w]` of RGB images `uint8 [B, H, W, 3]`.
        bases: by name.
        changes: names of known changes to apply.
    """

    encode: Callable[[Images], torch.Tensor]
    bases: Mapping[str, LayoutBasis]
    changes: Sequence[str] = tuple(KNOWN_CHANGES)

    def encoded(self, batches: Iterable[tuple[Images, NDArray[np.int64], Sequence[int]]]) -> dict[str, Encoded]:
        """Encode batches of images `uint8 [B, H, W, 3]`, classes of their cells `int64 [B, h, w]` and B seeds."""
        layouts: dict[str, dict[str, list[NDArray[np.float16]]]] = {name: defaultdict(list) for name in self.bases}
        moments: dict[bool, list[FeatureMoments]] = defaultdict(list)
        strengths, all_classes = [], []
        for images, classes, seeds in batches:
            for copy_name, copies in self._copies(images, seeds):
                features = {flag: self.encode(basis.prepare(copies)) for flag, basis in self._preparing.items()}
                for name, basis in self.bases.items():
                    projected = basis.project(features[basis.standardized])
                    layouts[name][copy_name].append(projected.cpu().numpy().astype(np.float16))
                if copy_name == ORIGINAL:
                    for flag, encoded in features.items():
                        moments[flag].append(FeatureMoments.of(encoded.movedim(1, -1).flatten(0, 2)))
            strengths += [random_change(image, seed)[1] for image, seed in zip(images, seeds, strict=True)]
            all_classes.append(classes)
        merged = {flag: FeatureMoments.merged(parts) for flag, parts in moments.items()}
        found = {}
        for name, basis in self.bases.items():
            joined = {copy_name: np.concatenate(parts) for copy_name, parts in layouts[name].items()}
            of_basis = merged[basis.standardized]
            explained = tuple(basis.explained_variance(k + 1, of_basis) for k in range(basis.num_components))
            found[name] = Encoded(
                joined, joined.pop(_VARIED), np.stack(strengths), np.concatenate(all_classes), explained
            )
        return found

    @property
    def encodings(self) -> int:
        """How often each image is encoded: unchanged, under every change, and in every way of preparing it."""
        return (2 + len(self.changes)) * len(self._preparing)

    @property
    def _preparing(self) -> dict[bool, LayoutBasis]:
        """A basis for each way in which images are prepared: they are encoded once for all bases that share it."""
        return {basis.standardized: basis for basis in self.bases.values()}

    def _copies(self, images: Images, seeds: Sequence[int]) -> Iterator[tuple[str, Images]]:
        """The images themselves, and under each change."""
        yield ORIGINAL, images
        for name in self.changes:
            yield name, np.stack([KNOWN_CHANGES[name](*each) for each in zip(images, seeds, strict=True)])
        yield _VARIED, np.stack([random_change(*each)[0] for each in zip(images, seeds, strict=True)])


@dataclass(frozen=True)
class KPoint:
    """What the first k components keep, measured on images that nothing was fitted on.

    Attributes:
        k: number of components.
        explained: share (0..1) of the variance of the features.
        miou: mean IoU (0..1) of a linear probe for the classes, fitted on unchanged training images; None without
            labels.
        changed_miou: of the same probe under each known change; empty without labels.
        leak: R^2 (0..1) with which a linear regression reads the strength of each random change off the mean of the
            layout over the image.
        cell_leak: the same off single cells.
        position: share (0..1) of the variance that the position in the image explains.
    """

    k: int
    explained: float
    miou: float | None
    changed_miou: Mapping[str, float]
    leak: Mapping[str, float]
    cell_leak: Mapping[str, float]
    position: float


@dataclass(frozen=True)
class Curves:
    """What a basis keeps, by k and by component.

    Attributes:
        points: by ascending k.
        shifts: of each of the K components under each known change: root mean square of the difference that the
            change makes to a cell, in standard deviations of the component.
        positions: share (0..1) of the variance of each component that the position explains.
    """

    points: tuple[KPoint, ...]
    shifts: Mapping[str, tuple[float, ...]]
    positions: tuple[float, ...]

    @property
    def ks(self) -> tuple[int, ...]:
        """The ks that were measured, ascending."""
        return tuple(point.k for point in self.points)

    def at(self, k: int) -> KPoint:
        """The point of one of the ks."""
        return next(point for point in self.points if point.k == k)

    def to_json(self) -> dict[str, Any]:
        """The curves as they are stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Curves:
        """The curves that `to_json` gave."""
        points = tuple(KPoint(**point) for point in stored["points"])
        shifts = {change: tuple(shift) for change, shift in stored["shifts"].items()}
        return cls(points, shifts, tuple(stored["positions"]))


def measure(train: Encoded, held_out: Encoded, ks: Sequence[int], num_classes: int) -> Curves:
    """Fit readers on training images and measure them on held-out ones.

    Args:
        train, held_out: the two sets in one basis; of `train`, known changes are not needed.
        ks: numbers of components, ascending, each at most K.
        num_classes: number of classes; 0 if the images have no labels.
    """
    cells = {name: _cells(layouts) for name, layouts in held_out.layouts.items()}
    original = cells[ORIGINAL]
    spread = np.maximum(original.std(axis=0), 1e-6)
    shifts = {
        change: tuple((np.sqrt(np.mean((changed - original) ** 2, axis=0)) / spread).tolist())
        for change, changed in cells.items()
        if change != ORIGINAL
    }
    explained = np.diag(PositionMoments.of(original.astype(np.float64), *held_out.classes.shape[1:]).explained)
    positions = (explained / spread**2).clip(0, 1)
    scores = _scores(train, held_out, cells, ks, num_classes)
    leaks = _leaks(train, held_out, ks)
    points = tuple(
        KPoint(
            k,
            held_out.explained[k - 1],
            scores[k].pop(ORIGINAL, None),
            scores[k],
            *leaks[k],
            float(positions[:k].mean()),
        )
        for k in ks
    )
    return Curves(points, shifts, tuple(positions.tolist()))


def _scores(
    train: Encoded,
    held_out: Encoded,
    cells: Mapping[str, NDArray[np.float32]],
    ks: Sequence[int],
    num_classes: int,
) -> dict[int, dict[str, float]]:
    """Mean IoU of a probe at each k, on the held-out images and under each change; nothing without labels."""
    if not num_classes or any((part.classes == UNLABELLED).all() for part in (train, held_out)):
        return {k: {} for k in ks}
    picked = _fitting_cells(train.classes)
    fitted_on, classes = _cells(train.layouts[ORIGINAL])[picked], train.classes.ravel()[picked]
    scores = {}
    for k in ks:
        probe = LinearProbe(fitted_on[:, :k], classes, num_classes)
        scores[k] = {name: probe.miou(found[:, :k], held_out.classes.ravel()) for name, found in cells.items()}
    return scores


def _fitting_cells(classes: NDArray[np.int64]) -> NDArray[np.intp]:
    """Places of the cells that a probe is fitted on, among those of `classes [N, h, w]` that are labelled."""
    labelled = np.flatnonzero(classes != UNLABELLED)
    step, width = max(1, len(labelled) // MOST_CELLS), classes.shape[2]
    # With a factor in common, the cells would all be in a few columns of the images.
    while math.gcd(step, width) > 1:
        step += 1
    return labelled[::step]


def _leaks(
    train: Encoded, held_out: Encoded, ks: Sequence[int]
) -> dict[int, tuple[dict[str, float], dict[str, float]]]:
    """Shares of the strengths of the random changes that are read at each k, off mean layouts and off cells."""
    count = train.classes[0].size
    parts = train, held_out
    means = [(part.varied.mean(axis=(2, 3), dtype=np.float64), part.strengths) for part in parts]
    cells = [(_cells(part.varied), part.strengths.repeat(count, axis=0)) for part in parts]

    def shares(k: int, fitted: Read, measured: Read) -> Leak:
        found = explained_share(fitted[0][:, :k], fitted[1], measured[0][:, :k], measured[1])
        return dict(zip(STRENGTHS, found.tolist(), strict=True))

    return {k: (shares(k, *means), shares(k, *cells)) for k in ks}


def _cells(layouts: NDArray[np.float16]) -> NDArray[np.float32]:
    """The cells of layouts `[N, K, h, w]` one after the other: `float32 [N * h * w, K]`."""
    return layouts.transpose(0, 2, 3, 1).reshape(-1, layouts.shape[1]).astype(np.float32)


def recommended_ks(points: Sequence[KPoint], shares: Sequence[float] = SHARES) -> tuple[int, ...]:
    """The smallest ks at which the probe reaches each share of its best mean IoU; equal ones are named once.

    Args:
        points: by ascending k, with a mean IoU.
        shares: ascending, 0..1.
    """
    scores = [(point.k, point.miou) for point in points if point.miou is not None]
    best = max(score for _, score in scores)
    return tuple(dict.fromkeys(next(k for k, score in scores if score >= share * best) for share in shares))
