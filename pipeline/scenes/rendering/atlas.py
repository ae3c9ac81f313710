"""All texture tiles in one image, at every level of detail."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.scenes.world.facades import facade_tiles
from pipeline.scenes.world.materials import TILE, material_tiles

LEVELS = 5
_COLUMNS = 8
_SEED = 20240607


@dataclass(frozen=True)
class Atlas:
    """Texture tiles, halved LEVELS-1 times, below one another.

    texture: RGBA uint8 [rows,columns,4], the square roots of linear values, alpha linear.
    shine: uint8 [rows,columns]. index: tile number by name.
    offsets: tile i at level l begins at `offsets[l, i]` (x, y) and is TILE >> l texels wide.
    """

    texture: NDArray[np.uint8]
    shine: NDArray[np.uint8]
    index: dict[str, int]
    offsets: NDArray[np.float32]


@lru_cache(maxsize=1)
def load_atlas() -> Atlas:
    """The atlas that all scenes share, made once in a process from a fixed seed."""
    rng = np.random.default_rng(_SEED)
    materials = material_tiles(rng)
    dark = np.zeros((TILE, TILE), np.float32)
    tiles = {name: (tile, dark) for name, tile in materials.items()} | facade_tiles(rng, materials)
    rows = -(-len(tiles) // _COLUMNS)
    texture = np.zeros((rows * TILE, _COLUMNS * TILE, 4), np.float32)
    shine = np.zeros(texture.shape[:2], np.float32)
    for i, (tile, light) in enumerate(tiles.values()):
        y, x = (i // _COLUMNS) * TILE, (i % _COLUMNS) * TILE
        texture[y : y + TILE, x : x + TILE] = tile
        shine[y : y + TILE, x : x + TILE] = light
    textures, shines, offsets, top = [], [], [], 0
    for level in range(LEVELS):
        size = TILE >> level
        number = np.arange(len(tiles))
        offsets.append(np.stack([number % _COLUMNS * size, number // _COLUMNS * size + top], axis=1))
        height, width = rows * size, _COLUMNS * size
        scaled = cv2.resize(texture, (width, height), interpolation=cv2.INTER_AREA)
        light = cv2.resize(shine, (width, height), interpolation=cv2.INTER_AREA)
        pad = ((0, 0), (0, _COLUMNS * TILE - width))
        textures.append(np.pad(scaled, (*pad, (0, 0))))
        shines.append(np.pad(light, pad))
        top += height
    return Atlas(
        np.rint(np.concatenate(textures) * 255).astype(np.uint8),
        np.rint(np.concatenate(shines) * 255).astype(np.uint8),
        {name: i for i, name in enumerate(tiles)},
        np.stack(offsets).astype(np.float32),
    )
