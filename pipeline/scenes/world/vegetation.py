"""Trees, hedges and bushes: trunks and crowns of ragged clumps of leaves."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from pipeline.scenes.world.arrays import Array
from pipeline.scenes.world.labels import LabelId
from pipeline.scenes.world.mesh import Faces, Scenery, make_faces
from pipeline.scenes.world.shapes import blobs, capsules
from pipeline.scenes.world.street import KERB

_GREENS = np.array(
    [
        [0.3, 0.42, 0.16],
        [0.24, 0.36, 0.15],
        [0.36, 0.46, 0.2],
        [0.2, 0.3, 0.16],
        [0.42, 0.46, 0.2],
        [0.56, 0.45, 0.18],
        [0.55, 0.32, 0.15],
    ],
    np.float32,
)
_GREEN_WEIGHTS = (0.24, 0.24, 0.18, 0.16, 0.08, 0.06, 0.04)


def sample_green(rng: Generator) -> Array:
    """A leaf colour, sRGB [3]."""
    return (_GREENS[rng.choice(len(_GREENS), p=_GREEN_WEIGHTS)] * rng.uniform(0.8, 1.15)).astype(np.float32)


def _clumps(rng: Generator, eye: Array, middle: Array, radii: Array, count: int, size: float, green: Array) -> Faces:
    """Leaves about `middle` in an ellipsoid of `radii`: brighter outside and on top, darker within."""
    away = rng.normal(0, 1, (count, 3))
    away /= np.linalg.norm(away, axis=1, keepdims=True) + 1e-6
    reach = rng.uniform(0.15, 1.0, count) ** 0.4
    centers = (middle + away * radii * reach[:, None]).astype(np.float32)
    sizes = (size * rng.uniform(0.6, 1.15, count)).astype(np.float32)
    light = 0.62 + 0.3 * reach * (0.5 + 0.5 * away[:, 1]) + rng.uniform(-0.09, 0.09, count)
    color = green * light[:, None] + rng.uniform(-0.015, 0.02, (count, 3))
    corners = 22 if size > 0.4 else 14
    outline = blobs(rng, centers, sizes, eye, corners=corners, rough=0.38)
    normals = away + 0.35 * rng.normal(0, 1, (count, 3)) + np.array([0, 0.25, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return make_faces(
        outline,
        np.clip(color, 0.02, 1),
        LabelId.VEGETATION,
        tile="leaves",
        metres=max(1.2 * size, 0.5),
        normals=normals,
    )


def plant_tree(rng: Generator, scenery: Scenery, u: float, s: float, scale: float = 1.0, pruned: bool = False) -> None:
    """A tree at (u, s): round, tall and narrow, or a conifer; `pruned` ones leave room to walk beneath."""
    street, eye = scenery.street, scenery.camera.position
    foot = street.points(u, KERB, s)
    shape = str(rng.choice(["round", "round", "oval", "poplar", "oval" if pruned else "conifer"]))
    height = float(rng.uniform(5.5, 11)) * scale
    trunk = height * float(rng.uniform(0.22, 0.36))
    if pruned:
        trunk = max(trunk, 2.7)
        height = max(height, trunk + 2.5)
    wide = (height - 0.4 * trunk) * float(rng.uniform(0.27, 0.42))
    green = sample_green(rng)
    bark = np.array([0.3, 0.25, 0.2], np.float32) * rng.uniform(0.7, 1.4)
    near = s < 28
    count = 64 if near else (34 if s < 65 else 16)
    girth = 0.022 * height
    lean = rng.normal(0, 0.15, 3) * [1, 0, 1]
    fork = foot + np.array([0, trunk, 0], np.float32) + lean
    starts, ends, widths = [foot, *[fork] * 4], [fork], [girth]
    for _ in range(4):
        ends.append(
            fork + np.array([rng.uniform(-0.5, 0.5) * wide, 0.4 * (height - trunk), rng.uniform(-0.5, 0.5) * wide])
        )
        widths.append(0.5 * girth)
    faces = [
        make_faces(
            capsules(starts, ends, widths, np.array(widths) * 0.7, eye),
            bark,
            LabelId.VEGETATION,
            tile="dirty",
            metres=0.5,
        )
    ]
    if shape == "conifer":
        levels = 6
        parts = []
        for i in range(levels):
            t = (i + 0.5) / levels
            middle = foot + np.array([0, height * (0.12 + 0.85 * t), 0], np.float32)
            spread = 0.25 * height * (1.05 - t)
            radii = np.array([spread, 0.07 * height, spread])
            parts.append(_clumps(rng, eye, middle, radii, max(count // 5, 4), 0.5 * spread + 0.12, green * 0.8))
        faces += parts
    else:
        flat = {"round": (1.0, 0.5), "oval": (0.8, 0.52), "poplar": (0.42, 0.6)}[shape]
        radii = np.array([wide * flat[0], (height - trunk) * flat[1], wide * flat[0]])
        size = 0.36 * float(radii[0]) * (1.0 if near else (1.25 if s < 65 else 1.6))
        lift = 0.7 * size if pruned else 0.0
        middle = foot + np.array([0, trunk + 0.5 * (height - trunk) + lift, 0], np.float32)
        faces.append(_clumps(rng, eye, middle, radii, count, size, green))
    scenery.add((u - 0.3, u + 0.3, s - 0.3, s + 0.3), faces, by_depth=True)


def plant_hedge(
    rng: Generator,
    scenery: Scenery,
    u: float,
    s0: float,
    s1: float,
    height: float,
    thick: float,
    green: Array,
) -> None:
    """A clipped hedge along the street from s0 to s1, in pieces a few metres long."""
    street, eye = scenery.street, scenery.camera.position
    for a in np.arange(s0, s1, 4.0):
        b = min(a + 4.0, s1)
        near = a < 30
        count = int((26 if near else 12) * max(height, 0.8))
        at = np.stack(
            [
                rng.uniform(-thick / 2, thick / 2, count),
                rng.uniform(0.05, 1, count) ** 0.8 * height,
                rng.uniform(a, b, count),
            ],
            axis=1,
        )
        centers = street.points(u + at[:, 0], KERB + at[:, 1] - 0.1, at[:, 2])
        radii = rng.uniform(0.2, 0.36, count).astype(np.float32) * (1.0 if near else 1.5)
        light = 0.6 + 0.35 * at[:, 1] / height + rng.uniform(-0.08, 0.08, count)
        normals = np.stack([-np.sign(u) * np.full(count, 0.7), 0.15 + 0.8 * at[:, 1] / height, np.full(count, -0.4)], 1)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        outline = blobs(rng, centers, radii, eye, corners=11, rough=0.25)
        leaves = make_faces(
            outline, green * light[:, None], LabelId.VEGETATION, tile="hedge", metres=0.8, normals=normals
        )
        scenery.add((u - thick / 2, u + thick / 2, float(a), float(b)), [leaves], by_depth=True)


def plant_bush(rng: Generator, scenery: Scenery, u: float, s: float) -> None:
    """A bush at (u, s)."""
    size = float(rng.uniform(0.4, 1.1))
    middle = scenery.street.points(u, KERB + 0.55 * size, s)
    radii = np.array([size, 0.6 * size, size]) * 0.8
    faces = [_clumps(rng, scenery.camera.position, middle, radii, 16 if s < 40 else 8, 0.45 * size, sample_green(rng))]
    scenery.add((u - size / 2, u + size / 2, s - size / 2, s + size / 2), faces, by_depth=True)


def build_woods(rng: Generator, scenery: Scenery) -> None:
    """Trees far behind the street's sides and at its end, closing the horizon."""
    green, eye = sample_green(rng), scenery.camera.position
    for sign in (-1, 1):
        side, kerb = scenery.street.side(sign)
        if side.kind in ("park", "wall", "detached"):
            count = 60 if side.kind != "detached" else 30
            s = rng.uniform(15, 220, count)
            u = kerb + sign * (side.front + rng.uniform(14, 45, count))
            _tree_line(rng, scenery, u, s, green, eye)
    count = 46
    _tree_line(rng, scenery, rng.uniform(-75, 75, count), np.full(count, 228.0), green, eye)


def _tree_line(rng: Generator, scenery: Scenery, u: Array, s: Array, green: Array, eye: Array) -> None:
    order = np.argsort(-s)
    for part in np.array_split(order, max(len(order) // 6, 1)):
        tall = rng.uniform(2.0, 5.0, len(part)).astype(np.float32)
        centers = np.concatenate([scenery.street.points(u[part], tall * k, s[part]) for k in (0.35, 1.0, 1.6)])
        radii = np.concatenate([tall * 0.75, tall * 0.8, tall * 0.55]).astype(np.float32)
        color = green * rng.uniform(0.6, 0.95, (len(centers), 1))
        outline = blobs(rng, centers, radii, eye, corners=20, rough=0.25)
        leaves = make_faces(outline, color, LabelId.VEGETATION, tile="leaves", metres=3.0, normals=(0, 0.75, -0.66))
        extent = (float(u[part].min()), float(u[part].max()), float(s[part].min()), float(s[part].max()))
        scenery.add(extent, [leaves], by_depth=True, casts_shadow=False)
