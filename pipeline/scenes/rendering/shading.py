"""Turns face numbers into linear light: texture, sun, sky, lamps, shadow, wetness, snow and haze."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.scenes.rendering.atlas import load_atlas
from pipeline.scenes.rendering.raster import SAMPLES, FaceTable, Raster
from pipeline.scenes.world.arrays import Array
from pipeline.scenes.world.labels import LabelId
from pipeline.scenes.world.light import Light
from pipeline.scenes.world.materials import TILE
from pipeline.scenes.world.mesh import Scenery

_BAND = 32
_SQUARES = (np.arange(256, dtype=np.float32) / 255) ** 2
_FRACTIONS = np.arange(256, dtype=np.float32) / 255
_WHITE = 0.64  # the square of a tile's mean brightness, so that a face has its own colour on average
_COARSE = 4

_SNOW_COVERED = {
    LabelId.ROAD: 0.42, LabelId.SIDEWALK: 0.95, LabelId.TERRAIN: 1.0, LabelId.VEGETATION: 0.7, LabelId.BUILDING: 1.0,
}  # fmt: skip


@dataclass(frozen=True)
class _Surface:
    """Per face: linear light on untinted texels, light times colour on tinted ones, and flags as floats."""

    bare: Array
    tinted: Array
    flags: Array


def _surfaces(table: FaceTable, light: Light) -> _Surface:
    color = table.color**2
    normal = table.normals
    upward = normal[:, 1:2]
    color = _weathered(color, table, light)
    sun = np.clip(normal @ light.sun, 0, None)[:, None]
    ambient = light.skylight * (0.5 + 0.5 * upward) + light.bounce * (0.5 - 0.5 * upward)
    bare = light.sunlight * sun + ambient
    shining = np.where(table.lit_when_dark, table.glow * light.dark, table.glow)[:, None]
    bare = bare + shining * (0.35 + 0.65 * light.exposure / 0.2)
    flags = np.stack([table.ground, (table.glow > 0) | (table.label == LabelId.SKY)], axis=1)
    return _Surface(bare.astype(np.float32), (bare * color / _WHITE).astype(np.float32), flags.astype(np.float32))


def _weathered(color: Array, table: FaceTable, light: Light) -> Array:
    """Face colours darkened by wetness and whitened by lying snow."""
    if light.wet > 0:
        soaked = np.where(table.ground, 0.5, np.where(table.normals[:, 1] > 0.5, 0.8, 0.92))[:, None]
        color = color * (1 - light.wet * (1 - soaked))
    if light.snow > 0:
        depths = np.full(len(color), 0.6, np.float32)
        for label, depth in _SNOW_COVERED.items():
            depths[table.label == label] = depth
        # Each clump and roof keeps a little of its own colour: a golden-ratio sequence serves as random numbers.
        uneven = np.mod(np.arange(len(color)) * 0.618034, 1.0)
        cover = light.snow * depths * np.clip(table.normals[:, 1] * 1.6 - 0.25, 0, 1) * (0.6 + 0.4 * uneven)
        cover = np.where(table.glow > 0, 0, np.clip(cover, 0, 1))[:, None].astype(np.float32)
        color = color * (1 - cover) + np.array([0.78, 0.81, 0.86], np.float32) * cover
    return color.astype(np.float32)


def _lamp_light(scenery: Scenery, raster: Raster, light: Light) -> Array | None:
    """Light of street lamps and headlights on every COARSE-th sample [h,w,3], or None while lamps are off."""
    if light.dark < 0.5 or not scenery.lamps:
        return None
    seen = raster.seen[_COARSE // 2 :: _COARSE, _COARSE // 2 :: _COARSE]
    height, width = raster.seen.shape
    x, y = scenery.camera.rays(height, width)
    x, y = x[_COARSE // 2 :: _COARSE][None, :], y[_COARSE // 2 :: _COARSE][:, None]
    planes, normals = raster.table.planes.T, raster.table.normals.T
    depth = 1 / np.maximum(planes[0][seen] * x + planes[1][seen] * y + planes[2][seen], 1e-4)
    points = np.stack([x * depth, y * depth, depth], axis=-1) @ scenery.camera.rotation + scenery.camera.position
    total = np.zeros((*seen.shape, 3), np.float32)
    for lamp in scenery.lamps:
        away = np.array(lamp.position, np.float32) - points
        square = (away * away).sum(-1) + 0.3
        facing = sum(away[..., i] * normals[i][seen] for i in range(3)) / np.sqrt(square)
        fall = lamp.strength / (1 + square / lamp.reach**2 * 6) * (0.25 + 0.75 * np.clip(facing, 0, 1))
        total += fall[..., None] * np.array(lamp.color, np.float32) ** 2
    return cv2.resize(total * light.dark, (width, height), interpolation=cv2.INTER_LINEAR)


def _shine(u: Array, v: Array, ids: NDArray[np.int32], map_x: Array, map_y: Array, rng_seed: float) -> Array:
    """Light from behind lit windows: the panes of the facade cells with someone at home, a random part of all."""
    panes = cv2.remap(load_atlas().shine, map_x, map_y, cv2.INTER_LINEAR).astype(np.float32) * (1 / 255)
    cell = np.floor(u) * 0.7548777 + np.floor(v) * 0.5698403 + (ids & 7) * 0.1 + rng_seed
    chance = np.mod(cell * 17.31, 1.0)
    # Shop windows, the brightest panes of the atlas, are always lit.
    return panes * np.clip((chance - 0.6 + (panes > 0.72)) * 3, 0, 1)


def shade(scenery: Scenery, raster: Raster, light: Light, sky: Array, shadow: Array, rng: Generator) -> Array:
    """Linear RGB of every pixel [H,W,3], float32.

    `sky` [H,W,3] shows where no face is; `shadow` [H,W] in 0..1 falls on the ground.
    """
    table, atlas, camera = raster.table, load_atlas(), scenery.camera
    rows, columns = raster.seen.shape
    height, width = rows // SAMPLES, columns // SAMPLES
    surface = _surfaces(table, light)
    lamps = _lamp_light(scenery, raster, light)
    ray_x, ray_y = camera.rays(rows, columns)
    planes = table.planes.T.copy()
    size = (TILE >> table.level).astype(np.float32)
    corner_x, corner_y = (np.ascontiguousarray(c) for c in atlas.offsets[table.level, table.tile].T)
    bare, tinted = surface.bare.T.copy(), surface.tinted.T.copy()
    ground, bright = surface.flags.T.copy()
    color = (table.color**2 / _WHITE).astype(np.float32).T.copy()
    shadowed = _shadow_tint(light)
    phase = float(rng.uniform(0, 1))
    window = np.array([1.0, 0.72, 0.4], np.float32) * (0.9 * light.dark * (0.3 + 3.2 * light.exposure))
    image = np.empty((height, width, 3), np.float32)
    for top in range(0, rows, _BAND):
        ids = raster.seen[top : top + _BAND]
        part = slice(top // SAMPLES, (top + len(ids)) // SAMPLES)
        large, small = (columns, len(ids)), (width, len(ids) // SAMPLES)
        x, y = ray_x[None, :], ray_y[top : top + _BAND, None]
        near, u, v = (planes[3 * i][ids] * x + planes[3 * i + 1][ids] * y + planes[3 * i + 2][ids] for i in range(3))
        depth = 1 / np.maximum(near, 1e-4)
        u, v = u * depth, v * depth
        wide = size[ids]
        map_x = np.clip((u - np.floor(u)) * wide - 0.5, 0, wide - 1) + corner_x[ids]
        map_y = np.clip((np.ceil(v) - v) * wide - 0.5, 0, wide - 1) + corner_y[ids]
        texel = cv2.split(cv2.remap(atlas.texture, map_x, map_y, cv2.INTER_LINEAR))
        tint = cv2.LUT(texel[3], _FRACTIONS)
        kept = cv2.resize(shadow[part], large, interpolation=cv2.INTER_LINEAR) * ground[ids]
        air = np.exp(-light.fog * depth)
        air = np.maximum(air, bright[ids] * (0.35 + 0.65 * air))
        open_sky = ids == 0
        shine = _shine(u, v, ids, map_x, map_y, phase) if light.dark > 0.2 else None
        # Channel by channel, so that every operation runs over contiguous rows.
        for c in range(3):
            own = bare[c][ids]
            glow = own + (tinted[c][ids] - own) * tint
            glow *= 1 - kept * (1 - shadowed[c])
            if lamps is not None:
                glow += lamps[top : top + _BAND, :, c] * (1 + (color[c][ids] - 1) * tint)
            seen = cv2.LUT(texel[c], _SQUARES) * glow
            if shine is not None:
                seen += shine * window[c]
            seen = light.haze[c] + (seen - light.haze[c]) * air
            behind = cv2.resize(sky[part, :, c], large, interpolation=cv2.INTER_NEAREST)
            np.copyto(seen, behind, where=open_sky)
            image[part, :, c] = cv2.resize(seen, small, interpolation=cv2.INTER_AREA)
    return image


def _shadow_tint(light: Light) -> Array:
    """Light left in full shadow on the ground, RGB: the share of the sky."""
    ambient = light.skylight + 1e-6
    return ambient / (ambient + light.sunlight * max(float(light.sun[1]), 0.05))
