"""The street's plan: its course, its cross-section and its junctions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from pipeline.scenes.world.arrays import Array

KERB = 0.13
"""Height of the pavement over the carriageway, metres."""

REACH = 230.0
"""How far ahead the street is built, metres."""


@dataclass(frozen=True)
class Side:
    """The strips beside the carriageway on one side, from the kerb outwards (widths in metres)."""

    kind: str
    verge: float
    pavement: float
    setback: float

    @property
    def front(self) -> float:
        """Distance from the kerb to the building line."""
        return self.verge + self.pavement + self.setback


@dataclass(frozen=True)
class Junction:
    """A side street between s0 and s1, to the left, to the right, or both."""

    s0: float
    s1: float
    left: bool
    right: bool


@dataclass(frozen=True)
class Street:
    """A street in coordinates u (to the right of its axis) and s (ahead of the camera), both in metres."""

    bend: float
    wave: float
    grade: float
    sag: float
    lane: float
    lanes_left: int
    lanes_right: int
    parking_left: float
    parking_right: float
    cycle_lane: float
    median: float
    left: Side
    right: Side
    junctions: tuple[Junction, ...]
    zebras: tuple[float, ...]
    tram: bool

    @property
    def edge_left(self) -> float:
        """u of the left kerb."""
        return -(self.median / 2 + self.lanes_left * self.lane + self.parking_left)

    @property
    def edge_right(self) -> float:
        """u of the right kerb."""
        return self.median / 2 + self.lanes_right * self.lane + self.parking_right + self.cycle_lane

    def side(self, sign: int) -> tuple[Side, float]:
        """The side to the right (sign 1) or left (sign -1), and the u of its kerb."""
        return (self.right, self.edge_right) if sign > 0 else (self.left, self.edge_left)

    def course(self, s: ArrayLike) -> Array:
        """Sideways offset of the street axis at s."""
        ahead = np.asarray(s, np.float32)
        near = np.clip(ahead, -20, 140)
        return self.bend * (0.5 * near**2 + (ahead - near) * near) + self.wave * (1 - np.cos(ahead / 38))

    def height(self, s: ArrayLike) -> Array:
        """Height of the carriageway at s."""
        ahead = np.clip(np.asarray(s, np.float32), -20, 160)
        return self.grade * ahead + 0.5 * self.sag * ahead**2

    def _spot(self, s: float) -> tuple[float, float]:
        """Course and height at one s, without the cost of arrays."""
        near = min(max(s, -20.0), 140.0)
        course = self.bend * (0.5 * near * near + (s - near) * near) + self.wave * (1 - math.cos(s / 38))
        low = min(max(s, -20.0), 160.0)
        return course, self.grade * low + 0.5 * self.sag * low * low

    def heading(self, s: float) -> float:
        """Direction of the street at s: radians to the right of z."""
        return math.atan(self._spot(s + 0.5)[0] - self._spot(s - 0.5)[0])

    def points(self, u: ArrayLike, y: ArrayLike, s: ArrayLike) -> Array:
        """World points [...,3] of street coordinates that broadcast; y counts from the carriageway."""
        u, y, s = np.asarray(u, np.float32), np.asarray(y, np.float32), np.asarray(s, np.float32)
        points = np.empty((*np.broadcast_shapes(u.shape, y.shape, s.shape), 3), np.float32)
        points[..., 0] = u + self.course(s)
        points[..., 1] = y + self.height(s)
        points[..., 2] = s
        return points

    def place(self, local: ArrayLike, u: float, s: float, base: float = 0.0, turn: float = 0.0) -> Array:
        """World points of an object's own points [...,3] (right, up, ahead), set at (u, s) and turned."""
        angle = self.heading(s) + turn
        c, d = math.cos(angle), math.sin(angle)
        course, height = self._spot(s)
        rotation = np.array(((c, 0, -d), (0, 1, 0), (d, 0, c)), np.float32)
        return np.asarray(local, np.float32) @ rotation + np.array((u + course, base + height, s), np.float32)

    def clear_of_junctions(self, s: float, sign: int, margin: float = 1.0) -> bool:
        """Whether no side street on the given side is within `margin` of s."""
        return not any((j.right if sign > 0 else j.left) and j.s0 - margin < s < j.s1 + margin for j in self.junctions)


def _sample_side(rng: Generator, style: str) -> Side:
    kinds = {
        "downtown": ("row", "row", "row", "blocks"),
        "residential": ("detached", "row", "detached", "park"),
        "suburb": ("detached", "park", "blocks", "wall"),
        "mixed": ("row", "blocks", "park", "wall"),
    }[style]
    kind = str(rng.choice(kinds))
    verge = float(rng.uniform(1.0, 3.0)) if rng.random() < (0.25 if kind == "row" else 0.6) else 0.0
    setback = {"row": 0.0, "detached": rng.uniform(2.5, 6.0), "blocks": rng.uniform(2.0, 9.0)}.get(kind, 1.2)
    return Side(kind, verge, float(rng.uniform(1.8, 5.2)), float(setback))


def sample_street(rng: Generator) -> Street:
    """A random street: width, course, slope, sides, junctions and crossings."""
    style = str(rng.choice(["downtown", "residential", "suburb", "mixed"], p=[0.34, 0.28, 0.16, 0.22]))
    wide = rng.random() < 0.35
    lanes_right = 2 if wide and rng.random() < 0.6 else 1
    lanes_left = lanes_right if rng.random() < 0.8 else (0 if lanes_right == 2 else 1)
    junctions: list[Junction] = []
    s = float(rng.uniform(9, 55))
    while s < 170 and len(junctions) < 3:
        width = float(rng.uniform(6, 12))
        which = int(rng.integers(3))
        junctions.append(Junction(s, s + width, which != 0, which != 1))
        s += width + float(rng.uniform(40, 90))
    if rng.random() < 0.25:
        junctions = []
    zebras = [j.s0 - 4.2 for j in junctions if rng.random() < 0.6]
    if rng.random() < 0.2:
        zebras.append(float(rng.uniform(7, 40)))
    straight = rng.random() < 0.35
    return Street(
        bend=0.0 if straight else float(rng.normal(0, 0.0016)),
        wave=0.0 if straight else float(rng.normal(0, 0.7)),
        grade=float(rng.normal(0, 0.012)),
        sag=float(rng.normal(0, 0.00022)),
        lane=float(rng.uniform(2.9, 3.7)),
        lanes_left=lanes_left,
        lanes_right=lanes_right,
        parking_left=2.2 if rng.random() < 0.5 else 0.3,
        parking_right=2.2 if rng.random() < 0.5 else 0.3,
        cycle_lane=1.7 if rng.random() < 0.2 else 0.0,
        median=float(rng.uniform(1.2, 3.5)) if wide and lanes_left and rng.random() < 0.35 else 0.0,
        left=_sample_side(rng, style),
        right=_sample_side(rng, style),
        junctions=tuple(junctions),
        zebras=tuple(zebras),
        tram=wide and rng.random() < 0.35,
    )
