"""Coloured polygons, the solids that they form, and the scenery that holds all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.scenes.world.arrays import Array
from pipeline.scenes.world.camera import Camera
from pipeline.scenes.world.labels import INSTANCE_LABELS, LabelId
from pipeline.scenes.world.street import Street

Color = ArrayLike
"""sRGB in 0..1: one colour [3], or one a face [F,3]."""


@dataclass(frozen=True)
class Faces:
    """Polygons of one label and one material.

    points: world coordinates [F,K,3]. color: [F,3], sRGB in 0..1. tile: texture, one for all or one a face.
    uv: texture coordinates of three corners, [F,3,2] or [3,2] in tiles, v upwards: the first three of a quad,
    those a third of the way apart of a rounder outline. None lays the tile flat at `metres` a tile.
    normals: [F,3], or None to derive them. center: a point inside the closed body, for leaving out faces
    turned away, or None to draw both sides. glow: emitted light, as a multiple of the face colour.
    lit_when_dark: it glows only when lamps are on. Both are one for all or one a face [F].
    layer: "solid", "ground" (takes shadows, may be wet) or "veil" (changes the label of the pixels behind it, not
    their colour).
    """

    points: Array
    color: Array
    label: LabelId
    instance: int
    tile: str | tuple[str, ...]
    uv: Array | None
    metres: float
    normals: Array | None
    center: Array | None
    glow: float | Array
    lit_when_dark: bool | NDArray[np.bool_]
    layer: str


def make_faces(
    points: ArrayLike,
    color: Color,
    label: LabelId,
    *,
    instance: int = 0,
    tile: str | tuple[str, ...] = "plain",
    uv: ArrayLike | None = None,
    metres: float = 1.0,
    normals: ArrayLike | None = None,
    center: ArrayLike | None = None,
    glow: float | Array = 0.0,
    lit_when_dark: bool | NDArray[np.bool_] = False,
    layer: str = "solid",
) -> Faces:
    """Faces from array-likes; one polygon [K,3] or one colour [3] is a batch of one."""
    corners = np.asarray(points, np.float32)
    if corners.ndim == 2:
        corners = corners[None]
    return Faces(
        corners,
        _rows(color, len(corners)),
        label,
        instance,
        tile,
        None if uv is None else np.asarray(uv, np.float32),
        metres,
        None if normals is None else _rows(normals, len(corners)),
        None if center is None else np.asarray(center, np.float32),
        glow,
        lit_when_dark,
        layer,
    )


def _rows(value: ArrayLike, count: int) -> Array:
    """Vectors [count,3] from as many, or from one for all."""
    rows = np.asarray(value, np.float32)
    if rows.ndim == 2 and len(rows) == count:
        return rows
    out = np.empty((count, 3), np.float32)
    out[:] = rows
    return out


@dataclass
class Solid:
    """An object in painter's order: its extent in street coordinates and its faces.

    Faces are drawn in the order given, or far to near where `by_depth` is set.
    """

    extent: tuple[float, float, float, float]
    faces: list[Faces]
    by_depth: bool = False
    casts_shadow: bool = True


@dataclass(frozen=True)
class Lamp:
    """A light that is on in the dark: its position, sRGB colour, strength, and reach in metres."""

    position: tuple[float, float, float]
    color: tuple[float, float, float]
    strength: float
    reach: float


@dataclass
class Scenery:
    """A street with all its objects, independent of light, weather and image size."""

    street: Street
    camera: Camera
    ground: list[Faces] = field(default_factory=list)
    solids: list[Solid] = field(default_factory=list)
    lamps: list[Lamp] = field(default_factory=list)
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)
    counters: Counter[LabelId] = field(default_factory=Counter)

    def new_instance(self, label: LabelId) -> int:
        """The Cityscapes instance id of a further object of an instance class: label*1000 + n."""
        if label not in INSTANCE_LABELS:
            return 0
        number = self.counters[label]
        self.counters[label] += 1
        return int(label) * 1000 + number

    def claim(self, u0: float, u1: float, s0: float, s1: float) -> bool:
        """Reserve a rectangle of ground for an object; False if another object occupies it."""
        if any(u0 < b and a < u1 and s0 < d and c < s1 for a, b, c, d in self.taken):
            return False
        self.taken.append((u0, u1, s0, s1))
        return True

    def add(
        self, extent: Sequence[float], faces: list[Faces], by_depth: bool = False, casts_shadow: bool = True
    ) -> None:
        """Put a solid into the street; `extent` is (u0, u1, s0, s1)."""
        u0, u1, s0, s1 = extent
        self.solids.append(Solid((u0, u1, s0, s1), faces, by_depth, casts_shadow))
