"""Shadows on the ground: those of the sun, and contact shadows under objects."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.scenes.world.arrays import Array
from pipeline.scenes.world.camera import NEAR, SPREAD, clip_polygon
from pipeline.scenes.world.light import Light
from pipeline.scenes.world.mesh import Scenery, Solid

_SHIFT = 4
_FARTHEST = 70.0


def _fill(mask: NDArray[np.uint8], outline: Array, scenery: Scenery, value: int) -> None:
    """Fill a ground polygon given by world x and z [K,2]."""
    height, width = mask.shape
    y = scenery.street.height(outline[:, 1]) + 0.02
    points = scenery.camera.to_camera(np.stack([outline[:, 0], y, outline[:, 1]], axis=1).astype(np.float32))
    x, y, z = points.T
    if ((z < NEAR) | (np.abs(x) > SPREAD * z) | (np.abs(y) > SPREAD * z)).any():
        points = clip_polygon(points)
        if len(points) < 3:
            return
    flat = scenery.camera.project(points, height, width) - 0.5
    cv2.fillConvexPoly(mask, np.rint(flat * (1 << _SHIFT)).astype(np.int32), value, cv2.LINE_AA, _SHIFT)


def _hull(solid: Solid, scenery: Scenery, slant: Array, stretch: float) -> Array:
    """Outline [K,2] of a solid's shadow; `slant` is metres sideways a metre of height."""
    points = np.concatenate([f.points.reshape(-1, 3) for f in solid.faces if f.layer != "veil"])
    above = points[:, 1] - scenery.street.height(points[:, 2])
    flat = points[:, [0, 2]] - np.clip(above, 0, 60)[:, None] * slant
    hull = cv2.convexHull(flat.astype(np.float32))[:, 0]
    return (hull.mean(0) + (hull - hull.mean(0)) * stretch).astype(np.float32)


def render_shadow(scenery: Scenery, light: Light, height: int, width: int) -> Array:
    """The share of light that does not reach the ground at each pixel, [height,width] in 0..1."""
    close = np.zeros((height, width), np.uint8)
    cast = np.zeros((height, width), np.uint8)
    strength = float(light.sunlight.max() / (light.sunlight.max() + light.skylight.max() + 1e-6))
    sunny = light.time_of_day != "night" and strength > 0.15
    slant = light.sun[[0, 2]] / max(float(light.sun[1]), 0.09)
    for solid in scenery.solids:
        if not solid.casts_shadow or solid.extent[2] > _FARTHEST:
            continue
        if sunny:
            _fill(cast, _hull(solid, scenery, slant, 1.0), scenery, 255)
        if solid.extent[3] - solid.extent[2] < 14:
            _fill(close, _hull(solid, scenery, np.zeros(2, np.float32), 1.04), scenery, 160)
    soft = max(width / 260, 0.5)
    near = cv2.GaussianBlur(close, (0, 0), soft).astype(np.float32) / 255
    far = cv2.GaussianBlur(cast, (0, 0), 0.4 * soft).astype(np.float32) / 255
    # Contact shadows block skylight too, so they count without sun.
    return np.clip(0.92 * far + near * (1.0 if sunny else 0.9), 0, 1.15).astype(np.float32)
