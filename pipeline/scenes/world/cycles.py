"""Bicycles and motorcycles, parked or ridden."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from pipeline.scenes.world.arrays import Array
from pipeline.scenes.world.labels import LabelId
from pipeline.scenes.world.mesh import Faces, Scenery, make_faces
from pipeline.scenes.world.people import rider_faces
from pipeline.scenes.world.shapes import box, capsules, disc, ring

_FRAME_COLORS = np.array(
    [
        [0.1, 0.1, 0.11],
        [0.55, 0.1, 0.1],
        [0.15, 0.3, 0.55],
        [0.75, 0.75, 0.75],
        [0.2, 0.4, 0.3],
        [0.7, 0.5, 0.12],
    ]
)
_BLACK = np.array([0.05, 0.05, 0.05])


def _bicycle(
    rng: Generator, scenery: Scenery, u: float, s: float, base: float, turn: float, instance: int
) -> list[Faces]:
    """Faces of a bicycle heading `turn`; its label covers the wheels whole, as annotators draw them."""
    radius, rear, front = 0.34, -0.52, 0.52
    eye = scenery.camera.position

    def place(points: Array) -> Array:
        return scenery.street.place(points, u, s, base, turn)

    def bars(ends: list[list[list[float]]], width: float, color: Array) -> Faces:
        joints = place(np.array(ends, np.float32))
        return make_faces(
            capsules(joints[:, 0], joints[:, 1], width, width, eye), color, LabelId.BICYCLE, instance=instance
        )

    color = _FRAME_COLORS[rng.integers(len(_FRAME_COLORS))] * rng.uniform(0.8, 1.15)
    seat, head, crank = [0, 0.86, -0.2], [0, 0.9, 0.34], [0, 0.3, -0.06]
    hubs = [[0, radius, rear], [0, radius, front]]
    spokes = [
        [h, [0, radius + 0.9 * radius * np.sin(a), h[2] + 0.9 * radius * np.cos(a)]]
        for h in hubs
        for a in np.arange(0, 6.2, 0.9)
    ]
    discs = np.stack([place(disc(h, radius, 12)) for h in hubs])
    tyres = np.concatenate([place(ring(h, radius, 0.88 * radius)) for h in hubs])
    thin = 0.006 if s < 25 else 0.012
    return [
        make_faces(discs, color, LabelId.BICYCLE, instance=instance, layer="veil"),
        bars(spokes, thin, np.full(3, 0.5)),
        make_faces(tyres, _BLACK, LabelId.BICYCLE, instance=instance),
        bars(
            [[seat, crank], [seat, head], [crank, head], [crank, hubs[0]], [seat, hubs[0]], [head, hubs[1]]],
            0.024,
            color,
        ),
        bars([[[0, 0.86, -0.2], [0, 0.95, -0.22]], [head, [0, 1.05, 0.3]]], 0.018, np.full(3, 0.55)),
        bars([[[-0.27, 1.06, 0.27], [0.27, 1.06, 0.27]]], 0.022, _BLACK),
        bars([[[0, 0.97, -0.33], [0, 0.97, -0.12]]], 0.05, _BLACK),
        bars([[[-0.1, 0.3, -0.06], [0.1, 0.3, -0.06]]], 0.05, np.full(3, 0.3)),
    ]


def _motorcycle(
    rng: Generator, scenery: Scenery, u: float, s: float, base: float, turn: float, instance: int, lit: bool
) -> list[Faces]:
    eye, scooter = scenery.camera.position, rng.random() < 0.4

    def place(points: Array) -> Array:
        return scenery.street.place(points, u, s, base, turn)

    def bars(ends: list[list[list[float]]], width: list[float], color: Array, glow: float = 0.0) -> Faces:
        joints = place(np.array(ends, np.float32))
        outline = capsules(joints[:, 0], joints[:, 1], width, width, eye)
        return make_faces(outline, color, LabelId.MOTORCYCLE, instance=instance, glow=glow, lit_when_dark=True)

    color = _FRAME_COLORS[rng.integers(len(_FRAME_COLORS))] * rng.uniform(0.9, 1.2)
    radius = 0.26 if scooter else 0.32
    faces: list[Faces] = []
    for z in (-0.68, 0.7):
        for scale, tone in ((1.0, 0.05), (0.62, 0.45), (0.5, 0.16)):
            sides = np.stack([place(disc((x, radius, z), radius * scale, 14)) for x in (-0.07, 0.07)])
            faces.append(make_faces(sides, np.full(3, tone), LabelId.MOTORCYCLE, instance=instance))
        faces.append(bars([[[0, 0.1, z], [0, 2 * radius - 0.1, z]]], [0.08], np.full(3, 0.06)))
    engine = place(box((-0.16, 0.16), (0.25, 0.62), (-0.35, 0.3)))
    faces.append(
        make_faces(
            engine,
            np.full(3, 0.16),
            LabelId.MOTORCYCLE,
            instance=instance,
            center=engine.reshape(-1, 3).mean(0),
        )
    )
    faces.append(
        bars(
            [[[0, 0.45, 0.66], [0, 0.98, 0.42]], [[0.18, 0.32, -0.7], [0.16, 0.34, 0.1]]],
            [0.05, 0.05],
            np.full(3, 0.5),
        )
    )
    if scooter:
        faces.append(bars([[[0, 0.4, 0.48], [0, 0.9, 0.42]], [[0, 0.5, -0.6], [0, 0.6, -0.1]]], [0.2, 0.19], color))
    else:
        faces.append(
            bars([[[0, 0.78, 0.28], [0, 0.76, -0.1]], [[0, 0.72, -0.45], [0, 0.82, -0.78]]], [0.17, 0.1], color)
        )
    faces.append(bars([[[0, 0.82, -0.1], [0, 0.84, -0.62]]], [0.11], _BLACK))
    faces.append(bars([[[-0.34, 1.03, 0.36], [0.34, 1.03, 0.36]]], [0.03], _BLACK))
    glow = 1.0 if lit else 0.0
    faces.append(bars([[[0, 0.86, 0.52], [0, 0.87, 0.52]]], [0.1], np.array([0.92, 0.92, 0.9]), 5.0 * glow))
    faces.append(bars([[[-0.05, 0.74, -0.88], [0.05, 0.74, -0.88]]], [0.06], np.array([0.6, 0.06, 0.06]), 1.6 * glow))
    return faces


def build_cycle(
    rng: Generator, scenery: Scenery, label: LabelId, u: float, s: float, base: float, turn: float, ridden: bool
) -> None:
    """A bicycle or motorcycle at (u, s), with or without its rider."""
    instance = scenery.new_instance(label)
    if label == LabelId.BICYCLE:
        faces = _bicycle(rng, scenery, u, s, base, turn, instance)
        seat, grip, pedal = (-0.22, 0.97), (0.27, 1.06), (-0.06, 0.3)
    else:
        faces = _motorcycle(rng, scenery, u, s, base, turn, instance, ridden)
        seat, grip, pedal = (-0.3, 0.9), (0.36, 1.03), (-0.05, 0.35)
    if ridden:
        faces += rider_faces(rng, scenery, u, s, turn, seat, grip, pedal, label == LabelId.MOTORCYCLE)
    wide = abs(np.cos(turn)) * 0.5 + abs(np.sin(turn)) * 1.7
    long = abs(np.cos(turn)) * 1.7 + abs(np.sin(turn)) * 0.5
    scenery.add((u - wide / 2, u + wide / 2, s - long / 2, s + long / 2), faces)
