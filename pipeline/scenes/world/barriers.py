"""Free-standing walls and fences, the latter with bars, pickets or mesh that let the view through."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from pipeline.scenes.world.arrays import Array
from pipeline.scenes.world.labels import LabelId
from pipeline.scenes.world.mesh import Scenery, make_faces
from pipeline.scenes.world.shapes import box
from pipeline.scenes.world.street import KERB


def _line_of_boxes(scenery: Scenery, u: float, s: Array, half: float, y: tuple[float, float], length: float) -> Array:
    """Near, street-side and top faces of boxes standing along the street at each s: [3N,4,3]."""
    shape = box((-half, half), y, (0.0, length))[[0, 2, 3, 4]]
    corners = shape[None] + np.array([0, 0, 1], np.float32) * np.asarray(s, np.float32)[:, None, None, None]
    corners = corners.reshape(-1, 4, 3)
    return scenery.street.points(u + corners[..., 0], KERB + corners[..., 1], corners[..., 2])


def build_wall(scenery: Scenery, u: float, s0: float, s1: float, height: float, tile: str, color: Array) -> None:
    """A wall with coping and pillars along the street from s0 to s1."""
    step = 6.0
    for a in np.arange(s0, s1 - 0.3, step):
        b = min(a + step, s1)
        body = _line_of_boxes(scenery, u, np.array([a]), 0.13, (0.0, height), b - a)
        cap = _line_of_boxes(scenery, u, np.array([a]), 0.19, (height, height + 0.1), b - a)
        post = _line_of_boxes(scenery, u, np.array([a]), 0.24, (0.0, height + 0.2), 0.45)
        parts = (
            (body, color, tile),
            (cap, np.minimum(color * 1.15, 0.9), "plaster"),
            (post, color * 0.95, tile),
        )
        faces = [
            make_faces(f, c, LabelId.WALL, tile=t, metres=2.4, center=f.reshape(-1, 3).mean(0)) for f, c, t in parts
        ]
        scenery.add((u - 0.2, u + 0.2, float(a), float(b)), faces)


def build_fence(
    rng: Generator,
    scenery: Scenery,
    u: float,
    s0: float,
    s1: float,
    height: float,
    kind: str,
    color: Array,
    base: float = 0.0,
) -> None:
    """A fence along the street: the label covers whole panels, as annotators do, the picture only bars.

    kind: "bars" (iron), "pickets" (wood) or "mesh" (wire).
    """
    step = 5.0
    for a in np.arange(s0, s1 - 0.3, step):
        b = float(min(a + step, s1))
        middle = 0.5 * (a + b)
        spacing = {"bars": 0.16, "pickets": 0.17, "mesh": 0.3}[kind] * (1 if middle < 22 else (2 if middle < 45 else 4))
        if kind == "mesh" and middle > 45:
            spacing = 1.2
        half = {"bars": 0.012, "pickets": 0.045, "mesh": 0.006}[kind] * (
            1 if middle < 22 else (1.6 if middle < 45 else 3)
        )
        foot, head = base + 0.08, base + height
        at = np.arange(a, b, spacing, dtype=np.float32)
        tip = rng.uniform(-0.02, 0.02, len(at)) if kind == "pickets" else np.zeros(len(at))
        bars = scenery.street.points(
            u, KERB + np.stack([np.full(len(at), foot)] * 2 + [head + tip] * 2, 1),
            np.stack([at - half, at + half, at + half, at - half], 1),
        )  # fmt: skip
        levels = np.array([foot + 0.1, head - 0.12]) if kind != "mesh" else np.arange(foot, head + 0.01, spacing)
        rail = 0.03 if kind != "mesh" else half
        rails = scenery.street.points(
            u,
            KERB + np.stack([levels - rail, levels - rail, levels + rail, levels + rail], 1),
            np.array([[a, b, b, a]]),
        )
        posts = _line_of_boxes(scenery, u, np.array([a]), 0.05, (0.0, base + height + 0.08), 0.1)
        panel = scenery.street.points(u, KERB + np.array([[foot, foot, head, head]]), np.array([[a, b, b, a]]))
        faces = [
            make_faces(panel, color, LabelId.FENCE, layer="veil"),
            make_faces(rails, color * 0.9, LabelId.FENCE),
            make_faces(bars, color, LabelId.FENCE),
            make_faces(posts, color * 0.85, LabelId.FENCE),
        ]
        if base > 0:
            plinth = _line_of_boxes(scenery, u, np.array([a]), 0.12, (0.0, base), b - float(a))
            faces.insert(0, make_faces(plinth, (0.5, 0.48, 0.45), LabelId.WALL, tile="stone", metres=1.5))
        scenery.add((u - 0.06, u + 0.06, float(a), b), faces, casts_shadow=False)


def build_barrier(rng: Generator, scenery: Scenery, u: float, s0: float, s1: float) -> None:
    """A random wall or fence between s0 and s1."""
    if rng.random() < 0.4:
        tile = str(rng.choice(["brick", "rubble", "concrete", "plaster"]))
        tone = {"brick": (0.55, 0.33, 0.26), "rubble": (0.55, 0.52, 0.46)}.get(tile, (0.62, 0.6, 0.56))
        color = np.clip(np.array(tone) * rng.uniform(0.8, 1.2) + rng.uniform(-0.03, 0.03, 3), 0.1, 0.85)
        build_wall(scenery, u, s0, s1, float(rng.uniform(0.7, 2.4)), tile, color.astype(np.float32))
        return
    kind = str(rng.choice(["bars", "pickets", "mesh"]))
    tones = {
        "bars": [(0.1, 0.11, 0.11), (0.12, 0.2, 0.16), (0.3, 0.3, 0.32)],
        "pickets": [(0.5, 0.38, 0.26), (0.85, 0.84, 0.8), (0.36, 0.27, 0.2)],
        "mesh": [(0.35, 0.37, 0.36), (0.15, 0.28, 0.2), (0.55, 0.57, 0.58)],
    }[kind]
    color = np.array(tones[rng.integers(3)], np.float32)
    base = float(rng.uniform(0.2, 0.5)) if kind == "bars" and rng.random() < 0.5 else 0.0
    height = float(rng.uniform(0.8, 1.3) if kind == "pickets" else rng.uniform(1.0, 2.2))
    build_fence(rng, scenery, u, s0, s1, height, kind, color, base)
