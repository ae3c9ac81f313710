"""Building blocks of solids, as batches of polygons [F,K,3] in metres."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from pipeline.scenes.world.arrays import Array

_BOX = np.array(
    [
        [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]],
        [[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]],
        [[0, 0, 0], [0, 0, 1], [0, 1, 1], [0, 1, 0]],
        [[1, 0, 0], [1, 0, 1], [1, 1, 1], [1, 1, 0]],
        [[0, 1, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1]],
        [[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]],
    ],
    np.float32,
)


def box(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> Array:
    """The sides of a box [6,4,3]: near, far, left, right, top, bottom; upright ones start at their foot."""
    low = np.array([x[0], y[0], z[0]], np.float32)
    high = np.array([x[1], y[1], z[1]], np.float32)
    return low + _BOX * (high - low)


def disc(center: ArrayLike, radius: float, corners: int = 12, axis: str = "x") -> Array:
    """A regular polygon [corners,3] about `center`, facing along the x axis or the z axis."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    a, b, none = np.cos(angle) * radius, np.sin(angle) * radius, np.zeros(corners)
    ring = np.stack([none, b, a] if axis == "x" else [a, b, none], axis=-1)
    return (ring + np.asarray(center)).astype(np.float32)


def ring(center: ArrayLike, radius: float, inner: float, corners: int = 14) -> Array:
    """A flat ring facing along the x axis, as `corners` quads [corners,4,3]."""
    outer, hole = disc(center, radius, corners), disc(center, inner, corners)
    return np.stack([outer, np.roll(outer, -1, 0), np.roll(hole, -1, 0), hole], axis=1)


_ROUND = np.stack([np.cos(np.linspace(0, np.pi, 5)), np.sin(np.linspace(0, np.pi, 5))]).astype(np.float32)


def capsules(start: ArrayLike, end: ArrayLike, r0: ArrayLike, r1: ArrayLike, eye: Array) -> Array:
    """Rounded, tapering bars from `start` to `end` [N,3] as seen from `eye`: outlines [N,10,3]."""
    a, b = np.atleast_2d(np.asarray(start, np.float32)), np.atleast_2d(np.asarray(end, np.float32))
    along = b - a
    along[:, 1] += 1e-4
    along /= np.sqrt((along * along).sum(1, keepdims=True))
    view = 0.5 * (a + b) - eye
    side = np.stack(
        [
            along[:, 1] * view[:, 2] - along[:, 2] * view[:, 1],
            along[:, 2] * view[:, 0] - along[:, 0] * view[:, 2],
            along[:, 0] * view[:, 1] - along[:, 1] * view[:, 0],
        ],
        axis=1,
    )
    side /= np.sqrt((side * side).sum(1, keepdims=True)) + 1e-6
    cosine, sine = _ROUND[:, None, :, None]
    arc = cosine * side[:, None] + sine * along[:, None]
    outline = np.empty((len(a), 10, 3), np.float32)
    outline[:, :5] = a[:, None] - np.reshape(np.asarray(r0, np.float32), (-1, 1, 1)) * arc
    outline[:, 5:] = b[:, None] + np.reshape(np.asarray(r1, np.float32), (-1, 1, 1)) * arc
    return outline


def blobs(rng: Generator, centers: Array, radii: Array, eye: Array, corners: int = 14, rough: float = 0.3) -> Array:
    """Ragged round outlines [N,corners,3] about `centers` [N,3], turned towards `eye`."""
    count = len(centers)
    view = centers - eye
    view /= np.linalg.norm(view, axis=1, keepdims=True) + 1e-6
    right = np.cross(np.array([0, 1, 0], np.float32), view)
    right /= np.linalg.norm(right, axis=1, keepdims=True) + 1e-6
    up = np.cross(view, right)
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.uniform(0, 6.28, (count, 1))
    reach = radii[:, None] * (1 + rough * rng.uniform(-1, 1, (count, corners)))
    x, y = (np.cos(angle) * reach)[..., None], (np.sin(angle) * reach)[..., None]
    return (centers[:, None] + x * right[:, None] + y * up[:, None]).astype(np.float32)


def even(polygons: Array, corners: int) -> Array:
    """The same polygons [F,K,3] with `corners` >= K corners, some of them repeated: [F,corners,3]."""
    return polygons[:, np.arange(corners) * polygons.shape[1] // corners]


def prism(profile: ArrayLike, half_width: ArrayLike) -> Array:
    """Quads [K-1,4,3] across a body, between consecutive points (z, y) of `profile` [K,2].

    `half_width`: one number, or one for each profile point.
    """
    line = np.asarray(profile, np.float32)
    half = np.broadcast_to(np.asarray(half_width, np.float32), (len(line),))
    left = np.stack([-half, line[:, 1], line[:, 0]], axis=-1)
    right = np.stack([half, line[:, 1], line[:, 0]], axis=-1)
    return np.stack([left[:-1], right[:-1], right[1:], left[1:]], axis=1)


def inset(quads: Array, x: tuple[float, float], y: tuple[float, float]) -> Array:
    """The parts of quads [F,4,3] between fractions `x` of their first edge and `y` of their last edge."""
    low = quads[:, 0:1] + (quads[:, 1:2] - quads[:, 0:1]) * np.array([[x[0]], [x[1]]], np.float32)
    high = quads[:, 3:4] + (quads[:, 2:3] - quads[:, 3:4]) * np.array([[x[0]], [x[1]]], np.float32)
    foot, head = low + (high - low) * y[0], low + (high - low) * y[1]
    return np.concatenate([foot, head[:, ::-1]], axis=1).astype(np.float32)
