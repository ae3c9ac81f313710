"""Facade textures: one storey by one bay, with glass, frames, curtains, shutters, shop windows and doors."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.random import Generator

from pipeline.scenes.world.arrays import Array
from pipeline.scenes.world.materials import TILE

Tile = tuple[Array, Array]
"""RGBA [TILE,TILE,4] (alpha: how far the face colour tints it) and what shines when lit [TILE,TILE], 0..1."""

_FRAMES = ((0.9, 0.9, 0.88), (0.85, 0.84, 0.8), (0.25, 0.22, 0.2), (0.4, 0.28, 0.18), (0.2, 0.26, 0.24))
_SHUTTERS = ((0.25, 0.4, 0.3), (0.45, 0.22, 0.18), (0.3, 0.36, 0.48), (0.5, 0.42, 0.32), (0.75, 0.74, 0.7))
WINDOWS = 18
SHOPS = 10
ENTRANCES = 5
CURTAIN_WALLS = 4


def _paint(tile: Array, x0: float, y0: float, x1: float, y1: float, rgb: tuple[float, ...], tint: float = 0.0) -> None:
    a, b = (round(v * TILE) for v in (x0, y0))
    c, d = (max(round(v * TILE), low + 1) for v, low in ((x1, a), (y1, b)))
    tile[b:d, a:c, :3] = rgb
    tile[b:d, a:c, 3] = tint


def _glass(rng: Generator, tile: Array, shine: Array, box: tuple[float, float, float, float], lit: float = 0.6) -> None:
    """A pane that mirrors a bright sky above and dark surroundings below, and shines by `lit` from within."""
    x0, y0, x1, y1 = (round(v * TILE) for v in box)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    down = np.linspace(0, 1, y1 - y0, dtype=np.float32)[:, None]
    across = np.linspace(0, 1, x1 - x0, dtype=np.float32)[None, :]
    top, bottom = rng.uniform(0.3, 0.62), rng.uniform(0.12, 0.28)
    edge = 0.5 + rng.uniform(-0.2, 0.2) + 0.15 * np.sin(across * rng.uniform(2, 7) + rng.uniform(0, 6))
    mix = 1 / (1 + np.exp(-(edge - down) * rng.uniform(4, 14)))
    value = bottom + (top - bottom) * mix
    tint = np.array([0.88, 0.97, 1.08], np.float32)
    tile[y0:y1, x0:x1, :3] = np.clip(value[..., None] * tint, 0, 1)
    tile[y0:y1, x0:x1, 3] = 0
    shine[y0:y1, x0:x1] = lit * (0.8 + 0.2 * down)


def _window(rng: Generator, wall: Array) -> Tile:
    tile, shine = wall.copy(), np.zeros((TILE, TILE), np.float32)
    half, sill = rng.uniform(0.2, 0.36), rng.uniform(0.7, 0.86)
    x0, x1, y0, y1 = 0.5 - half, 0.5 + half, rng.uniform(0.1, 0.24), sill
    frame = _FRAMES[rng.integers(len(_FRAMES))]
    trim = rng.random()
    if trim < 0.5:
        border = rng.uniform(0.02, 0.06)
        _paint(tile, x0 - border, y0 - border * 1.6, x1 + border, y1 + border, (0.93, 0.92, 0.9), 0.5)
    _paint(tile, x0 - 0.04, y1, x1 + 0.04, y1 + 0.045, (0.85, 0.84, 0.82), 0.3)
    _paint(tile, x0, y0, x1, y1, frame)
    columns, rows = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    edge = 0.018
    for i in range(columns):
        for j in range(rows):
            left = x0 + edge + i * (x1 - x0 - edge) / columns
            right = x0 + (i + 1) * (x1 - x0 - edge) / columns
            top = y0 + edge + j * (y1 - y0 - edge) / rows
            bottom = y0 + (j + 1) * (y1 - y0 - edge) / rows
            _glass(rng, tile, shine, (left, top, right, bottom))
    tile[round(y0 * TILE) : round((y0 + 0.05) * TILE), round(x0 * TILE) : round(x1 * TILE), :3] *= 0.55
    dressing = rng.random()
    if dressing < 0.3:
        curtain = (0.8, 0.78, 0.72)
        for a, b in ((x0 + edge, x0 + half * 0.45), (x1 - half * 0.45, x1 - edge)):
            _paint(tile, a, y0 + 0.05, b, y1 - edge, curtain)
    elif dressing < 0.5:
        _paint(tile, x0 + edge, y0 + edge, x1 - edge, y0 + (y1 - y0) * rng.uniform(0.2, 0.6), (0.72, 0.7, 0.66))
    if half < 0.29 and rng.random() < 0.45:
        color = _SHUTTERS[rng.integers(len(_SHUTTERS))]
        for a, b in ((x0 - half * 0.75, x0 - 0.015), (x1 + 0.015, x1 + half * 0.75)):
            _paint(tile, a, y0, b, y1, color)
            for y in np.arange(y0 + 0.03, y1 - 0.02, 0.05):
                _paint(tile, a + 0.015, y, b - 0.015, y + 0.014, tuple(0.7 * v for v in color))
    if rng.random() < 0.25:
        for x in np.arange(x0 - 0.05, x1 + 0.05, 0.035):
            _paint(tile, x, y1 - 0.2, x + 0.01, y1, (0.12, 0.12, 0.13))
        _paint(tile, x0 - 0.05, y1 - 0.2, x1 + 0.05, y1 - 0.185, (0.12, 0.12, 0.13))
    if rng.random() < 0.4:
        _paint(tile, 0, 0.955, 1, 1.0, (0.9, 0.9, 0.9), 0.8)
    return tile, shine


def _letters(rng: Generator, tile: Array, box: tuple[float, float, float, float], ink: tuple[float, ...]) -> None:
    x0, y0, x1, y1 = box
    x = x0
    while x < x1 - 0.05:
        width = rng.uniform(0.02, 0.06)
        if rng.random() < 0.85:
            _paint(tile, x, y0, x + width, y1, ink)
            if rng.random() < 0.6:
                _paint(
                    tile,
                    x + 0.012,
                    y0 + (y1 - y0) * 0.35,
                    x + width,
                    y0 + (y1 - y0) * 0.65,
                    tile_color(tile, x, y0),
                )
        x += width + 0.015


def tile_color(tile: Array, x: float, y: float) -> tuple[float, ...]:
    """The colour a little above a point of a tile, both in fractions of its side."""
    row, column = max(round(y * TILE) - 2, 0), min(round(x * TILE), TILE - 1)
    return tuple(float(v) for v in tile[row, column, :3])


def _shop(rng: Generator, wall: Array) -> Tile:
    tile, shine = wall.copy(), np.zeros((TILE, TILE), np.float32)
    frame = (*_FRAMES, *_SHUTTERS)[rng.integers(len(_FRAMES) + len(_SHUTTERS))]
    _paint(tile, 0.03, 0.26, 0.97, 1.0, frame)
    board = tuple(float(v) for v in rng.uniform(0.1, 0.75) + rng.uniform(-0.22, 0.22, 3).clip(-0.2))
    _paint(tile, 0.0, 0.08, 1.0, 0.25, board)
    ink = (0.95, 0.93, 0.85) if sum(board) < 1.5 else (0.12, 0.1, 0.12)
    _letters(rng, tile, (rng.uniform(0.08, 0.3), 0.13, rng.uniform(0.6, 0.92), 0.2), ink)
    shine[round(0.1 * TILE) : round(0.24 * TILE)] = 0.3
    door = rng.choice([0.05, 0.36, 0.68])
    for x in (0.05, 0.36, 0.68):
        low = 0.985 if x == door else rng.uniform(0.82, 0.93)
        _glass(rng, tile, shine, (x, 0.3, x + 0.27, low), lit=1.0)
        if x != door:
            for _ in range(int(rng.integers(2, 7))):
                a, b = x + rng.uniform(0.01, 0.2), rng.uniform(0.5, 0.75)
                goods = tuple(float(v) for v in rng.uniform(0.15, 0.8, 3))
                _paint(tile, a, b, min(a + rng.uniform(0.03, 0.1), x + 0.26), low, goods)
        else:
            _paint(tile, x + 0.22, 0.6, x + 0.235, 0.72, (0.85, 0.85, 0.85))
    return tile, shine


def _entrance(rng: Generator, wall: Array) -> Tile:
    tile, shine = _window(rng, wall)
    tile[:, : TILE // 2], shine[:, : TILE // 2] = wall[:, : TILE // 2], 0
    color = (*_SHUTTERS, (0.35, 0.2, 0.12), (0.15, 0.15, 0.17))[rng.integers(len(_SHUTTERS) + 2)]
    _paint(tile, 0.08, 0.22, 0.42, 1.0, (0.88, 0.87, 0.84), 0.4)
    _paint(tile, 0.12, 0.27, 0.38, 1.0, color)
    for y in (0.46, 0.72):
        _paint(tile, 0.16, y, 0.34, y + 0.19, tuple(0.75 * v for v in color))
    _glass(rng, tile, shine, (0.15, 0.29, 0.35, 0.4))
    _paint(tile, 0.0, 0.94, 0.1, 1.0, (0.7, 0.7, 0.68), 0.6)
    return tile, shine


def _curtain_wall(rng: Generator) -> Tile:
    tile, shine = np.zeros((TILE, TILE, 4), np.float32), np.zeros((TILE, TILE), np.float32)
    _paint(tile, 0, 0, 1, 1, (0.8, 0.8, 0.8), 1.0)
    columns, band = int(rng.integers(1, 4)), rng.uniform(0.1, 0.35)
    for i in range(columns):
        _glass(rng, tile, shine, (i / columns + 0.02, band, (i + 1) / columns - 0.005, 0.99))
    return tile, shine


def facade_tiles(rng: Generator, materials: Mapping[str, Array]) -> dict[str, Tile]:
    """Every facade tile by name: window0.., shop0.., entrance0.., curtain0..; walls are of `materials`."""
    walls = [materials[name] for name in ("plaster", "brick", "stone", "plaster", "concrete", "planks")]
    tiles: dict[str, Tile] = {}
    for kind, count in (("window", WINDOWS), ("shop", SHOPS), ("entrance", ENTRANCES)):
        draw = {"window": _window, "shop": _shop, "entrance": _entrance}[kind]
        for i in range(count):
            # A brick course of a wall tile is four metres high; a storey is about three.
            tiles[f"{kind}{i}"] = draw(rng, walls[i % len(walls)])
    for i in range(CURTAIN_WALLS):
        tiles[f"curtain{i}"] = _curtain_wall(rng)
    blurred = {}
    for name, (tile, shine) in tiles.items():
        blurred[name] = (cv2.GaussianBlur(tile, (3, 3), 0.5), shine)
    return blurred
