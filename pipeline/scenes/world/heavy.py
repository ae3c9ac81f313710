"""Trucks, buses and trams: tall boxes with rows of windows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.random import Generator

from pipeline.scenes.world.arrays import Array
from pipeline.scenes.world.cars import GLASS, wheels
from pipeline.scenes.world.labels import LabelId
from pipeline.scenes.world.mesh import Faces, Scenery, make_faces
from pipeline.scenes.world.shapes import box, capsules, inset

Part = tuple[Array, Array, float, str]
"""Corners [F,4,3], colour, glow when dark, tile."""

_LIVERIES = np.array(
    [
        [0.7, 0.12, 0.1], [0.85, 0.7, 0.15], [0.12, 0.28, 0.55], [0.85, 0.85, 0.84], [0.15, 0.4, 0.28],
        [0.4, 0.42, 0.45], [0.8, 0.4, 0.1], [0.3, 0.5, 0.62],
    ],
    np.float32,
)  # fmt: skip
_DARK = np.array([0.06, 0.06, 0.065], np.float32)


@dataclass(frozen=True)
class _Body:
    """Boxes on wheels: each group of parts is a closed box followed by the parts on its surface."""

    width: float
    length: float
    groups: list[list[Part]]
    axles: tuple[float, ...]
    wheel: float


def _panes(quad: Array, count: int, y: tuple[float, float], gap: float, ends: tuple[float, float]) -> Array:
    """A row of `count` panes on a quad [4,3]."""
    edges = np.linspace(ends[0], ends[1], count + 1)
    return np.concatenate([inset(quad[None], (float(a + gap), float(b - gap)), y) for a, b in pairwise(edges)])


def _tail_lights(quad: Array) -> list[Part]:
    red = np.array([0.6, 0.05, 0.05])
    return [(inset(quad[None], x, (0.12, 0.24)), red, 1.6, "plain") for x in ((0.03, 0.12), (0.88, 0.97))]


def _headlights(quad: Array) -> list[Part]:
    white = np.array([0.93, 0.93, 0.9])
    return [(inset(quad[None], x, (0.1, 0.17)), white, 5.0, "plain") for x in ((0.05, 0.15), (0.9, 0.99))]


def _bus(rng: Generator, label: LabelId) -> _Body:
    tram = label == LabelId.TRAIN
    length = float(rng.uniform(18, 26) if tram else rng.uniform(9.5, 13))
    width, height = (2.4, 3.3) if tram else (2.5, float(rng.choice([2.95, 3.05, 4.2], p=[0.5, 0.35, 0.15])))
    paint = _LIVERIES[rng.integers(len(_LIVERIES))] * rng.uniform(0.85, 1.1)
    second = _LIVERIES[rng.integers(len(_LIVERIES))] if rng.random() < 0.6 else paint
    body = box((-width / 2, width / 2), (0.32, height), (0, length))
    roof = box((-width / 2 * 0.85, width / 2 * 0.85), (height, height + 0.25), (0.2 * length, 0.75 * length))
    parts: list[Part] = [(body, paint, 0.0, "plain")]
    near, far, left, right, _, _ = body
    decks = [(0.42, 0.8)] if height < 4 else [(0.26, 0.45), (0.6, 0.82)]
    for side in (left, right):
        parts.append((inset(side[None], (0, 1), (0.0, 0.2)), second * 0.9, 0.0, "plain"))
        for low, high in decks:
            parts.append((inset(side[None], (0.02, 0.98), (low - 0.02, high + 0.02)), _DARK * 1.5, 0.0, "plain"))
            parts.append(
                (
                    _panes(side, int(length / 1.5), (low, high), 0.004, (0.02, 0.98)),
                    GLASS * 1.25,
                    0.9,
                    "plain",
                )
            )
    for at in (0.12, 0.5, 0.86):
        parts.append((inset(right[None], (at, at + 1.2 / length), (0.03, 0.78)), GLASS * 0.9, 0.6, "plain"))
        parts.append(
            (
                inset(right[None], (at + 0.58 / length, at + 0.62 / length), (0.03, 0.78)),
                paint * 0.6,
                0.0,
                "plain",
            )
        )
    for end, tall in ((near, (0.5, 0.8)), (far, (0.34, 0.83))):
        for low, high in [tall] if height < 4 else [(0.25, 0.45), (0.6, 0.82)]:
            parts.append((inset(end[None], (0.06, 0.94), (low, high)), GLASS, 0.35, "plain"))
        parts.append((inset(end[None], (0.25, 0.75), (0.87, 0.95)), _DARK, 0.0, "plain"))
        parts.append((inset(end[None], (0.38, 0.62), (0.885, 0.935)), np.array([0.95, 0.6, 0.15]), 2.0, "plain"))
        parts.append((inset(end[None], (0.0, 1.0), (0.0, 0.07)), _DARK * 2, 0.0, "plain"))
    parts += [*_tail_lights(near), *_headlights(far)]
    axles = (0.2 * length, 0.5 * length, 0.8 * length) if tram else (0.22 * length, 0.76 * length)
    return _Body(width, length, [[(roof, paint * 0.85, 0.0, "plain")], parts], axles, 0.3 if tram else 0.48)


def _truck(rng: Generator) -> _Body:
    big = rng.random() < 0.5
    length = float(rng.uniform(8, 12) if big else rng.uniform(5.8, 7.5))
    width, height = (2.5, float(rng.uniform(3.3, 3.9))) if big else (2.1, float(rng.uniform(2.6, 3.1)))
    cab = 2.1 if big else 1.8
    roof = min(height - 0.25, 2.9 if big else 2.3)
    paint = _LIVERIES[rng.integers(len(_LIVERIES))] * rng.uniform(0.85, 1.1)
    cargo = np.array([0.82, 0.82, 0.8]) if rng.random() < 0.5 else _LIVERIES[rng.integers(len(_LIVERIES))]
    cargo = cargo * rng.uniform(0.85, 1.08)
    frame = box((-width / 2 * 0.8, width / 2 * 0.8), (0.45, 0.95), (0.05, length - 0.1))
    head = box((-width / 2 * 0.97, width / 2 * 0.97), (0.45, roof), (length - cab, length))
    front: list[Part] = [(head, paint, 0.0, "plain")]
    _, far, left, right, _, _ = head
    for side in (left, right):
        front.append((inset(side[None], (0.35, 0.92), (0.48, 0.86)), GLASS, 0.0, "plain"))
    front.append((inset(far[None], (0.05, 0.95), (0.48, 0.88)), GLASS, 0.0, "plain"))
    front.append((inset(far[None], (0.2, 0.8), (0.14, 0.4)), _DARK, 0.0, "plain"))
    front += _headlights(far)
    open_bed = rng.random() < 0.25
    top = 1.55 if open_bed else height
    load = box((-width / 2, width / 2), (0.9, top), (0.0, length - cab - 0.15))
    parts: list[Part] = [(load, cargo, 0.0, str(rng.choice(["plain", "metal", "cloth"])))]
    near, _, left, right, _, _ = load
    parts.append((inset(near[None], (0.49, 0.51), (0.02, 0.98)), cargo * 0.5, 0.0, "plain"))
    if not open_bed and rng.random() < 0.6:
        sign = _LIVERIES[rng.integers(len(_LIVERIES))]
        for side in (left, right, near):
            parts.append((inset(side[None], (0.2, 0.8), (0.4, 0.72)), sign, 0.0, "plain"))
    bumper = box((-width / 2 * 0.95, width / 2 * 0.95), (0.42, 0.62), (-0.02, 0.05))
    groups: list[list[Part]] = [
        [(frame, _DARK * 1.6, 0.0, "plain")],
        front,
        parts,
        [(bumper, _DARK * 2, 0.0, "plain"), *_tail_lights(bumper[0])],
    ]
    axles = (0.18 * length, 0.28 * length, length - 1.0) if big else (0.22 * length, length - 0.9)
    return _Body(width, length, groups, axles, 0.48 if big else 0.38)


def heavy_length(label: LabelId) -> float:
    """Length to keep free for a vehicle of the class, metres."""
    return {LabelId.TRUCK: 12.5, LabelId.BUS: 13.5, LabelId.TRAIN: 27.0}[label]


def build_heavy(rng: Generator, scenery: Scenery, label: LabelId, u: float, s: float, turn: float) -> None:
    """A truck, bus or tram with its middle at (u, s); turn 0 heads away from the camera."""
    body = _truck(rng) if label == LabelId.TRUCK else _bus(rng, label)
    instance = scenery.new_instance(label)
    back = np.array([0, 0, -body.length / 2], np.float32)

    def place(corners: Array) -> Array:
        return scenery.street.place(corners + back, u, s, 0.0, turn)

    middle = place(np.array([0, 1.0, body.length / 2], np.float32))
    batches: list[tuple[float, list[Faces]]] = []
    for group in body.groups:
        box_center = place(group[0][0]).mean((0, 1))
        batch = [
            make_faces(
                place(corners),
                color,
                label,
                instance=instance,
                center=box_center if i == 0 else middle,
                tile=tile,
                metres=2.5,
                glow=glow,
                lit_when_dark=True,
            )
            for i, (corners, color, glow, tile) in enumerate(group)
        ]
        batches.append((float(np.linalg.norm(box_center - scenery.camera.position)), batch))
    faces = [part for _, batch in sorted(batches, key=lambda b: -b[0]) for part in batch]
    for rounds, grey in wheels(body.width / 2, body.wheel, body.axles):
        faces.append(make_faces(place(rounds), (grey,) * 3, label, instance=instance, center=middle))
    if label == LabelId.TRAIN:
        top = np.array([[0, 3.5, 0.5], [0, 4.4, 0.62], [-0.6, 4.8, 0.5]], np.float32) * [1, 1, body.length]
        tips = np.array([[0, 4.4, 0.62], [0, 4.8, 0.5], [0.6, 4.8, 0.5]], np.float32) * [1, 1, body.length]
        bars = capsules(
            place(top.astype(np.float32)), place(tips.astype(np.float32)), 0.04, 0.04, scenery.camera.position
        )
        faces.append(make_faces(bars, _DARK * 3, label, instance=instance))
    half, long = body.width / 2, body.length / 2
    scenery.add((u - half, u + half, s - long, s + long), faces)
