"""What the first k components of a basis keep of a scene, and what they keep of how it looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from augment.layouts.known_changes import KNOWN_CHANGES, STRENGTHS, random_change
from augment.layouts.position import PositionMoments
from augment.layouts.probing import UNLABELLED, LinearProbe, explained_share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import torch
    from numpy.typing import NDArray

    from augment.layouts.basis import LayoutBasis

    Images = NDArray[np.uint8]

# The name of the unchanged images among the changed ones.
ORIGINAL = "original"


@dataclass(frozen=True)
class Encoded:
    """Images of one split in one basis.

    Attributes:
        layouts: of the images themselves (`original`) and of each of them under known changes, `float16 [N, K, h, w]`.
        varied: of each image under a random change, `float16 [N, K, h, w]`.
        strengths: of the random changes, `float64 [N, 4]`; see `STRENGTHS`.
        classes: of the cells, `int64 [N, h, w]`, -1 for none.
    """

    layouts: Mapping[str, NDArray[np.float16]]
    varied: NDArray[np.float16]
    strengths: NDArray[np.float64]
    classes: NDArray[np.int64]


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
        parts: dict[str, list[Encoded]] = {name: [] for name in self.bases}
        for images, classes, seeds in batches:
            copies = {ORIGINAL: images}
            for change in self.changes:
                copies[change] = np.stack(
                    [KNOWN_CHANGES[change](image, seed) for image, seed in zip(images, seeds, strict=True)]
                )
            varied = [random_change(image, seed) for image, seed in zip(images, seeds, strict=True)]
            strengths = np.stack([found for _, found in varied])
            layouts = {name: self._layouts(copy) for name, copy in copies.items()}
            of_varied = self._layouts(np.stack([copy for copy, _ in varied]))
            for basis, found in parts.items():
                own = {name: layout[basis] for name, layout in layouts.items()}
                found.append(Encoded(own, of_varied[basis], strengths, classes))
        return {name: _joined(found) for name, found in parts.items()}

    def _layouts(self, images: Images) -> dict[str, NDArray[np.float16]]:
        """Layouts in each basis; images are encoded once for all bases that prepare them alike."""
        prepared: dict[bool, torch.Tensor] = {}
        layouts = {}
        for name, basis in self.bases.items():
            if basis.standardized not in prepared:
                prepared[basis.standardized] = self.encode(basis.prepare(images))
            layouts[name] = basis.project(prepared[basis.standardized]).cpu().numpy().astype(np.float16)
        return layouts


def _joined(parts: Sequence[Encoded]) -> Encoded:
    return Encoded(
        {name: np.concatenate([part.layouts[name] for part in parts]) for name in parts[0].layouts},
        np.concatenate([part.varied for part in parts]),
        np.concatenate([part.strengths for part in parts]),
        np.concatenate([part.classes for part in parts]),
    )


@dataclass(frozen=True)
class KPoint:
    """What the first k components keep, measured on images that nothing was fitted on.

    Attributes:
        k: number of components.
        miou: mean IoU (0..1) of a linear probe for the classes, fitted on unchanged training images; None without labels.
        changed_miou: of the same probe under each known change; empty without labels.
        leak: R^2 (0..1) with which a linear regression reads the strength of each random change off the mean of the
            layout over the image.
        cell_leak: the same off single cells.
        position: share (0..1) of the variance that the position in the image explains.
    """

    k: int
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
        shifts: of each component under each known change, `float64 [K]`: root mean square of the difference that the
            change makes to a cell, in standard deviations of the component.
        positions: share (0..1) of the variance of each component that the position explains, `float64 [K]`.
    """

    points: tuple[KPoint, ...]
    shifts: Mapping[str, NDArray[np.float64]]
    positions: NDArray[np.float64] = field(repr=False)


def measure(train: Encoded, held_out: Encoded, ks: Sequence[int], num_classes: int) -> Curves:
    """Fit readers on training images and measure them on held-out ones.

    Args:
        train, held_out: the two sets in one basis; of `train`, known changes are not needed.
        ks: numbers of components, ascending, each at most K.
        num_classes: number of classes; 0 if the images have no labels.
    """
    original = _cells(held_out.layouts[ORIGINAL])
    spread = np.maximum(original.std(axis=0), 1e-6)
    shifts = {
        change: np.sqrt(np.mean((_cells(layouts) - original) ** 2, axis=0)) / spread
        for change, layouts in held_out.layouts.items()
        if change != ORIGINAL
    }
    grid = held_out.classes.shape[1:]
    explained = np.diag(PositionMoments.of(original, *grid).explained)
    positions = (explained / spread**2).clip(0, 1)
    labelled = num_classes and all((part.classes != UNLABELLED).any() for part in (train, held_out))
    points = tuple(_point(train, held_out, k, num_classes if labelled else 0, positions) for k in ks)
    return Curves(points, shifts, positions)


def _point(train: Encoded, held_out: Encoded, k: int, num_classes: int, positions: NDArray[np.float64]) -> KPoint:
    scores: dict[str, float] = {}
    if num_classes:
        probe = LinearProbe(_cells(train.layouts[ORIGINAL])[:, :k], train.classes.ravel(), num_classes)
        classes = held_out.classes.ravel()
        scores = {name: probe.miou(_cells(layouts)[:, :k], classes) for name, layouts in held_out.layouts.items()}
    means = [part.varied[:, :k].mean(axis=(2, 3), dtype=np.float64) for part in (train, held_out)]
    leak = explained_share(means[0], train.strengths, means[1], held_out.strengths)
    cells = train.classes[0].size
    cell_leak = explained_share(
        _cells(train.varied)[:, :k],
        train.strengths.repeat(cells, axis=0),
        _cells(held_out.varied)[:, :k],
        held_out.strengths.repeat(cells, axis=0),
    )
    return KPoint(
        k,
        scores.pop(ORIGINAL, None),
        scores,
        dict(zip(STRENGTHS, leak.tolist(), strict=True)),
        dict(zip(STRENGTHS, cell_leak.tolist(), strict=True)),
        float(positions[:k].mean()),
    )


def _cells(layouts: NDArray[np.float16]) -> NDArray[np.float64]:
    """The cells of layouts `[N, K, h, w]` one after the other: `float64 [N * h * w, K]`."""
    return layouts.transpose(0, 2, 3, 1).reshape(-1, layouts.shape[1]).astype(np.float64)


def recommended_ks(points: Sequence[KPoint], shares: Sequence[float] = (0.8, 0.95, 0.99)) -> tuple[int, ...]:
    """The smallest ks at which the probe reaches each share of its best mean IoU; equal ones are named once.

    Args:
        points: by ascending k, with a mean IoU.
        shares: ascending, 0..1.
    """
    scores = [(point.k, point.miou) for point in points if point.miou is not None]
    best = max(score for _, score in scores)
    return tuple(dict.fromkeys(next(k for k, score in scores if score >= share * best) for share in shares))
