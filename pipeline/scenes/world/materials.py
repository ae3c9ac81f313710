"""Procedural surface textures: tiles of brightness that the colour of a face tints."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from pipeline.scenes.world.arrays import Array

TILE = 128
"""Side of a texture tile in texels."""


def noise(rng: Generator, size: int, octaves: tuple[tuple[int, float], ...]) -> Array:
    """Seamless noise [size,size] about zero, as a weighted sum of (cells a side, weight)."""
    total = np.zeros((size, size), np.float32)
    for cells, weight in octaves:
        grid = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
        wrapped = np.pad(grid, 3, mode="wrap")
        step = size / cells
        wide = cv2.resize(wrapped, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        margin = round(3 * step)
        total += weight * wide[margin : margin + size, margin : margin + size]
    return total


def _grey(value: Array) -> Array:
    """An RGBA tile, wholly tinted by the face colour, from brightness [TILE,TILE] about 0.8."""
    rgba = np.empty((TILE, TILE, 4), np.float32)
    rgba[..., :3] = np.clip(value, 0, 1)[..., None]
    rgba[..., 3] = 1
    return rgba


def _bricks(rng: Generator, rows: int, columns: int, joint: float, spread: float, bond: float = 0.5) -> Array:
    value = np.full((TILE, TILE), 0.8 + joint, np.float32)
    height, width = TILE // rows, TILE // columns
    gap = max(1, TILE // (rows * 10))
    for row in range(rows):
        shift = int(width * bond) if row % 2 else 0
        for column in range(columns):
            shade = 0.8 + spread * rng.uniform(-1, 1)
            x = (column * width + shift) % TILE
            for left in (x, x - TILE):
                cv2.rectangle(
                    value,
                    (left, row * height),
                    (left + width - 1 - gap, (row + 1) * height - 1 - gap),
                    shade,
                    -1,
                )
    return value + noise(rng, TILE, ((32, 0.03), (64, 0.03)))


def _planks(rng: Generator, count: int, spread: float) -> Array:
    value = np.full((TILE, TILE), 0.8, np.float32)
    width = TILE // count
    for i in range(count):
        value[:, i * width : (i + 1) * width] += spread * rng.uniform(-1, 1)
        value[:, i * width] -= 0.2
    return value + noise(rng, TILE, ((16, 0.04),))


def _leaves(rng: Generator, count: int, size: tuple[int, int], spread: float) -> Array:
    value = np.full((TILE, TILE), 0.55, np.float32)
    for _ in range(count):
        x, y = rng.integers(0, TILE, 2)
        axes = tuple(int(v) for v in rng.integers(size[0], size[1] + 1, 2))
        shade, angle = 0.78 + spread * rng.uniform(-1, 1), float(rng.uniform(0, 180))
        for dx in (0, -TILE, TILE):
            for dy in (0, -TILE, TILE):
                cv2.ellipse(value, (int(x) + dx, int(y) + dy), axes, angle, 0, 360, shade, -1)
    return value


def _asphalt(rng: Generator, worn: float, cracks: int) -> Array:
    value = 0.8 + noise(rng, TILE, ((4, 0.05), (16, 0.04), (64, 0.07), (128, 0.07)))
    across = np.linspace(0, 2 * np.pi, TILE, endpoint=False)
    value += worn * np.cos(2 * across)[None, :]
    for _ in range(cracks):
        points = np.cumsum(rng.normal(0, 9, (7, 2)), axis=0) + rng.uniform(20, 108, 2)
        cv2.polylines(value, [points.astype(np.int32)], False, 0.6, 1)
    return value.astype(np.float32)


def material_tiles(rng: Generator) -> dict[str, Array]:
    """Every material by name: RGBA float tiles [TILE,TILE,4] in 0..1, alpha one (tinted by the face)."""
    fine = noise(rng, TILE, ((4, 0.03), (16, 0.03), (64, 0.03)))
    tiles: dict[str, Array] = {
        "plain": np.full((TILE, TILE), 0.8, np.float32) + 0.2 * fine,
        "plaster": 0.8 + fine,
        "dirty": 0.8 + noise(rng, TILE, ((2, 0.07), (6, 0.06), (24, 0.05), (64, 0.03))),
        "brick": _bricks(rng, 16, 8, 0.08, 0.13),
        "stone": _bricks(rng, 8, 4, -0.15, 0.08),
        "rubble": _bricks(rng, 10, 6, -0.2, 0.2, 0.37),
        "concrete": _bricks(rng, 2, 2, -0.15, 0.03, 0.0) + noise(rng, TILE, ((4, 0.05), (12, 0.04))),
        "planks": _planks(rng, 8, 0.1),
        "metal": 0.8 + 0.14 * np.cos(np.linspace(0, 24 * np.pi, TILE, endpoint=False))[None, :] + fine,
        "roof": _bricks(rng, 10, 10, -0.35, 0.1),
        "slate": _bricks(rng, 12, 6, -0.2, 0.12),
        "asphalt": _asphalt(rng, 0.03, 1),
        "worn": _asphalt(rng, 0.07, 3),
        "paving": _bricks(rng, 6, 6, -0.2, 0.07),
        "slabs": _bricks(rng, 3, 3, -0.22, 0.06),
        "cobbles": _bricks(rng, 16, 14, -0.3, 0.15),
        "grass": 0.75 + noise(rng, TILE, ((4, 0.1), (12, 0.1), (40, 0.14), (128, 0.16))),
        "gravel": 0.75 + noise(rng, TILE, ((8, 0.05), (64, 0.14), (128, 0.14))),
        "leaves": _leaves(rng, 420, (2, 5), 0.24),
        "hedge": _leaves(rng, 700, (1, 3), 0.22),
        "cloth": 0.8 + noise(rng, TILE, ((6, 0.09), (14, 0.07))),
    }
    return {name: _grey(value) for name, value in tiles.items()}
