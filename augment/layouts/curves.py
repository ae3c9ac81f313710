"""What the first k components of a basis keep of a scene, and what they keep of how it looks, as figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from augment.layouts.options import SHARES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# What the bases of a run are called in tables, by their folders in its basis.
TITLES: Mapping[str, str] = {
    "layouts": "the basis that layouts are written in",
    "own": "the basis fitted on this dataset",
    "pca": "the principal components of this dataset",
}


def mean_of(values: Iterable[float]) -> float | None:
    """The mean; None of nothing."""
    found = list(values)
    return sum(found) / len(found) if found else None


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


def recommended_ks(points: Sequence[KPoint], shares: Sequence[float] = SHARES) -> tuple[int, ...]:
    """The smallest ks at which the probe reaches each share of its best mean IoU; equal ones are named once.

    Args:
        points: by ascending k, with a mean IoU.
        shares: ascending, 0..1.
    """
    scores = [(point.k, point.miou) for point in points if point.miou is not None]
    best = max(score for _, score in scores)
    return tuple(dict.fromkeys(next(k for k, score in scores if score >= share * best) for share in shares))
