"""Random designs of buildings: measures, materials and colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from pipeline.scenes.world.arrays import Array
from pipeline.scenes.world.facades import CURTAIN_WALLS, ENTRANCES, SHOPS, WINDOWS

WALL_COLORS = np.array(
    [
        [0.85, 0.8, 0.68], [0.78, 0.7, 0.56], [0.66, 0.4, 0.3], [0.56, 0.32, 0.25], [0.7, 0.68, 0.64],
        [0.58, 0.57, 0.55], [0.86, 0.85, 0.82], [0.8, 0.66, 0.5], [0.75, 0.55, 0.42], [0.62, 0.64, 0.66],
        [0.72, 0.76, 0.7], [0.82, 0.74, 0.6], [0.48, 0.42, 0.37], [0.84, 0.72, 0.66], [0.6, 0.66, 0.72],
    ],
    np.float32,
)  # fmt: skip
_ROOFS = np.array(
    [[0.5, 0.27, 0.2], [0.4, 0.24, 0.2], [0.3, 0.3, 0.32], [0.36, 0.33, 0.3], [0.45, 0.36, 0.3]], np.float32
)


@dataclass(frozen=True)
class Design:
    """How one building looks: its measures in metres, its tiles and its colours."""

    storeys: int
    storey: float
    ground_floor: float
    bay: float
    depth: float
    tile: str
    ground_tile: str
    wall: Array
    base: Array
    roof: str
    roof_color: Array
    ledges: bool
    awning: bool
    balconies: bool

    @property
    def eaves(self) -> float:
        """Height of the wall."""
        return self.ground_floor + self.storeys * self.storey


def sample_design(rng: Generator, kind: str, tallest: int) -> Design:
    """A random design for a side of the given kind."""
    modern = kind == "blocks" or rng.random() < 0.12
    shops = kind == "row" and rng.random() < 0.6
    storeys = int(rng.integers(0, 2)) if kind == "detached" else int(rng.integers(max(1, tallest - 2), tallest + 2))
    tile = f"window{rng.integers(WINDOWS)}"
    if modern and rng.random() < 0.5:
        tile = f"curtain{rng.integers(CURTAIN_WALLS)}"
    if shops:
        ground_tile = f"shop{rng.integers(SHOPS)}"
    elif kind == "detached" or rng.random() < 0.6:
        ground_tile = f"entrance{rng.integers(ENTRANCES)}"
    else:
        ground_tile = tile
    wall = WALL_COLORS[rng.integers(len(WALL_COLORS))] * rng.uniform(0.82, 1.1) + rng.uniform(-0.03, 0.03, 3)
    flat = modern or rng.random() < (0.45 if kind == "row" else 0.05)
    return Design(
        storeys=storeys,
        storey=float(rng.uniform(2.7, 3.5)),
        ground_floor=float(rng.uniform(3.3, 4.4) if shops else rng.uniform(2.8, 3.4)),
        bay=float(rng.uniform(2.0, 3.6)),
        depth=float(rng.uniform(8, 14)),
        tile=tile,
        ground_tile=ground_tile,
        wall=np.clip(wall, 0.05, 0.95).astype(np.float32),
        base=np.clip(wall * rng.uniform(0.7, 1.05), 0.05, 0.95).astype(np.float32),
        roof="flat" if flat else str(rng.choice(["slope", "slope", "mansard"])),
        roof_color=(_ROOFS[rng.integers(len(_ROOFS))] * rng.uniform(0.8, 1.2)).astype(np.float32),
        ledges=bool(rng.random() < 0.55),
        awning=bool(shops and rng.random() < 0.5),
        balconies=bool(storeys > 1 and rng.random() < 0.22),
    )
