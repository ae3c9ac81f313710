"""The pinhole camera, in world coordinates x right, y up, z ahead (metres)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.scenes.world.arrays import Array

NEAR = 0.35
"""Polygons closer to the camera plane than this (metres) are clipped."""

SPREAD = 3.0
"""Polygons reaching further off axis than this tangent are clipped before projection."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; its focal length is in image widths, so that any image size shows one scene."""

    position: Array
    rotation: Array
    focal: float
    center: float

    @classmethod
    def looking(
        cls,
        position: tuple[float, float, float],
        yaw: float,
        pitch: float,
        roll: float,
        focal: float,
        center: float,
    ) -> Camera:
        """Camera at `position`, turned by yaw (right), pitch (up) and roll, all in radians.

        `focal` is in image widths; `center` is the row of the optical axis as a fraction of the height.
        """
        cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
        turn = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        tilt = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
        rotation = (tilt @ nod @ turn).astype(np.float32)
        return cls(np.array(position, np.float32), rotation, focal, center)

    def to_camera(self, points: Array) -> Array:
        """World points [...,3] in camera coordinates (right, up, ahead)."""
        return (points - self.position) @ self.rotation.T

    def project(self, points: Array, height: int, width: int) -> Array:
        """Camera-space points [...,3] in front of the camera, as pixel coordinates [...,2] (x, y)."""
        scale = self.focal * width / points[..., 2:3]
        flat = points[..., :2] * scale * np.array([1, -1], np.float32)
        return flat + np.array([0.5 * width, self.center * height], np.float32)

    def rays(self, height: int, width: int) -> tuple[Array, Array]:
        """Tangents of the pixel centres: x [width] to the right and y [height] upwards, at depth one."""
        focal = self.focal * width
        x = (np.arange(width, dtype=np.float32) + 0.5 - 0.5 * width) / focal
        y = (self.center * height - np.arange(height, dtype=np.float32) - 0.5) / focal
        return x.astype(np.float32), y.astype(np.float32)


def clip_polygon(points: Array) -> Array:
    """The part of one camera-space polygon [K,3] inside the wide viewing pyramid, as [M,3] with M >= 0."""
    planes = ((0, 0, 1, -NEAR), (1, 0, SPREAD, 0), (-1, 0, SPREAD, 0), (0, 1, SPREAD, 0), (0, -1, SPREAD, 0))
    polygon: list[tuple[float, ...]] = [tuple(p) for p in points.tolist()]
    for a, b, c, d in planes:
        sides = [a * x + b * y + c * z + d for x, y, z in polygon]
        if min(sides) >= 0:
            continue
        kept: list[tuple[float, ...]] = []
        for i, (point, side) in enumerate(zip(polygon, sides, strict=True)):
            last, before = polygon[i - 1], sides[i - 1]
            if (side >= 0) != (before >= 0):
                t = before / (before - side)
                kept.append(tuple(p + t * (q - p) for p, q in zip(last, point, strict=True)))
            if side >= 0:
                kept.append(point)
        polygon = kept
        if len(polygon) < 3:
            return np.zeros((0, 3), np.float32)
    return np.array(polygon, np.float32)
