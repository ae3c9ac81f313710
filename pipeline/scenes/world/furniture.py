"""Street furniture: lamps, poles, traffic lights, traffic signs, bollards, bins, benches."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from pipeline.scenes.world.arrays import Array
from pipeline.scenes.world.labels import LabelId
from pipeline.scenes.world.mesh import Faces, Lamp, Scenery, make_faces
from pipeline.scenes.world.shapes import box, capsules, disc
from pipeline.scenes.world.street import KERB

_RED, _BLUE, _WHITE = (0.72, 0.08, 0.1), (0.08, 0.24, 0.6), (0.9, 0.9, 0.88)
_YELLOW, _BLACK = (0.92, 0.72, 0.1), (0.06, 0.06, 0.06)


def _bars(scenery: Scenery, u: float, s: float, local: Array, radius: float, color: Array, turn: float = 0.0) -> Faces:
    """Thin round bars [N,2,3] in the object's own coordinates, lit on one side."""
    ends = scenery.street.place(local, u, s, KERB, turn)
    eye = scenery.camera.position
    aside = np.array([-0.45 * radius, 0, 0], np.float32)
    doubled = np.concatenate([ends, ends + aside])
    width = np.repeat([1.0, 0.4], len(ends)) * radius
    outlines = capsules(doubled[:, 0], doubled[:, 1], width, 0.85 * width, eye)
    tones = np.repeat([color * 0.8, color * 1.2], len(ends), axis=0)
    return make_faces(outlines, tones, LabelId.POLE, metres=0.5)


def street_lamp(scenery: Scenery, u: float, s: float, style: int, height: float, metal: Array) -> None:
    """A street lamp with an arm over the carriageway, or a lantern on a post."""
    inward = -np.sign(u)
    reach = 0.0 if style == 0 else (1.4 if style == 1 else 2.2)
    top = height * (0.62 if style == 0 else 1.0)
    bars = [[[0, 0, 0], [0, top, 0]]]
    if reach:
        bars.append([[0, top, 0], [inward * reach, top + 0.35, 0]])
    faces = [
        _bars(scenery, u, s, np.array(bars, np.float32), 0.075, metal),
        _bars(scenery, u, s, np.array([[[0, 0, 0], [0, 1.0, 0]]], np.float32), 0.12, metal),
    ]
    head = (inward * reach, top + (0.35 if reach else 0.25))
    size = (0.36, 0.09) if reach else (0.2, 0.26)
    shape = box((head[0] - size[0], head[0] + size[0]), (head[1] - size[1], head[1] + size[1]), (-0.16, 0.16))
    corners = scenery.street.place(shape, u, s, KERB)
    faces.append(make_faces(corners, metal, LabelId.POLE, center=corners.reshape(-1, 3).mean(0)))
    if reach:
        under = scenery.street.place(shape[5:6] * 0.999, u, s, KERB)
        glass = make_faces(under, (0.95, 0.92, 0.8), LabelId.POLE, glow=9.0, lit_when_dark=True)
    else:
        pane = box((head[0] - 0.15, head[0] + 0.15), (head[1] - 0.2, head[1] + 0.15), (-0.17, 0.17))
        around = scenery.street.place(pane[:4], u, s, KERB)
        middle = around.reshape(-1, 3).mean(0)
        glass = make_faces(around, (0.95, 0.88, 0.7), LabelId.POLE, glow=6.0, lit_when_dark=True, center=middle)
    faces.append(glass)
    scenery.add((u - 0.12, u + 0.12, s - 0.12, s + 0.12), faces)
    spot = scenery.street.place([head[0], head[1] - 0.2, 0.0], u, s, KERB)
    warm = (1.0, 0.83, 0.6) if style != 2 else (0.95, 0.95, 1.0)
    if s < 75:
        scenery.lamps.append(Lamp((float(spot[0]), float(spot[1]), float(spot[2])), warm, 1.5, 0.9 * top))


def traffic_light(
    rng: Generator, scenery: Scenery, u: float, s: float, towards: bool, state: int, metal: Array
) -> None:
    """A traffic light on a pole, facing the camera where `towards` is set. state: 0 red, 1 amber, 2 green."""
    tall = float(rng.uniform(3.0, 3.6))
    over = rng.random() < 0.35 and towards
    inward = -float(np.sign(u))
    bars = [[[0, 0, 0], [0, tall if not over else 6.0, 0]]]
    heads = [(0.0, tall - 0.45)]
    if over:
        bars.append([[0, 5.9, 0], [inward * 4.2, 6.1, 0]])
        heads.append((inward * 3.9, 5.5))
    faces = [_bars(scenery, u, s, np.array(bars, np.float32), 0.075, metal)]
    for x, y in heads:
        faces += _signal_head(scenery, u, s, x + (inward * 0.12 if x == 0 else 0), y, towards, state)
    scenery.add((u - 0.2, u + 0.2, s - 0.2, s + 0.2), faces)


def _signal_head(scenery: Scenery, u: float, s: float, x: float, y: float, towards: bool, state: int) -> list[Faces]:
    turn = 0.0 if towards else np.pi
    shape = box((x - 0.19, x + 0.19), (y - 0.5, y + 0.5), (-0.2, 0.08))
    corners = scenery.street.place(shape, u, s, KERB, turn)
    center = corners.reshape(-1, 3).mean(0)
    faces = [make_faces(corners, (0.09, 0.1, 0.1), LabelId.TRAFFIC_LIGHT, center=center)]
    if not towards:
        return faces
    lamps = (((0.95, 0.12, 0.08), 0.31), ((0.98, 0.6, 0.1), 0.0), ((0.12, 0.9, 0.5), -0.31))
    for i, (color, dy) in enumerate(lamps):
        ring = scenery.street.place(disc((x, y + dy, -0.21), 0.125, 12, "z"), u, s, KERB, turn)
        lit = i == state
        tone = np.array(color) if lit else np.array(color) * 0.16 + 0.03
        faces.append(make_faces(ring, tone, LabelId.TRAFFIC_LIGHT, glow=4.5 if lit else 0.0))
        visor = capsules(
            scenery.street.place([[x - 0.13, y + dy + 0.1, -0.27]], u, s, KERB),
            scenery.street.place([[x + 0.13, y + dy + 0.1, -0.27]], u, s, KERB),
            0.03,
            0.03,
            scenery.camera.position,
        )
        faces.append(make_faces(visor, (0.07, 0.07, 0.07), LabelId.TRAFFIC_LIGHT))
    return faces


def _plate(kind: str, y: float, size: float) -> list[tuple[Array, tuple[float, float, float]]]:
    """The layers of a traffic sign, front to the camera: outlines [K,3] with their colours."""

    def round_plate(radius: float, corners: int = 16) -> Array:
        return disc((0, y, -0.08), radius, corners, "z")

    def triangle(radius: float, flip: float) -> Array:
        angle = np.array([np.pi / 2, np.pi / 2 + 2.094, np.pi / 2 - 2.094])
        return np.stack([np.cos(angle) * radius, y + flip * np.sin(angle) * radius, np.full(3, -0.08)], 1).astype(
            np.float32
        )

    def board(half: float, low: float, high: float) -> Array:
        x, h = np.array([-half, half, half, -half]), np.array([low, low, high, high])
        return np.stack([x, y + h, np.full(4, -0.08)], 1).astype(np.float32)

    if kind == "limit":
        digits = [
            (board(0.07 * size, -0.2 * size, 0.2 * size) + np.array([d * size, 0, 0], np.float32), _BLACK)
            for d in (-0.13, 0.13)
        ]
        return [(round_plate(0.5 * size), _RED), (round_plate(0.38 * size), _WHITE), *digits]
    if kind == "no_entry":
        return [(round_plate(0.5 * size), _RED), (board(0.36 * size, -0.09 * size, 0.09 * size), _WHITE)]
    if kind == "no_parking":
        return [(round_plate(0.5 * size), _RED), (round_plate(0.39 * size), _BLUE)]
    if kind == "mandatory":
        return [(round_plate(0.5 * size), _BLUE), (board(0.06 * size, -0.3 * size, 0.25 * size), _WHITE)]
    if kind == "warning":
        return [
            (triangle(0.58 * size, 1), _RED),
            (triangle(0.38 * size, 1), _WHITE),
            (board(0.04 * size, -0.1 * size, 0.16 * size), _BLACK),
        ]
    if kind == "yield":
        return [(triangle(0.58 * size, -1), _RED), (triangle(0.38 * size, -1), _WHITE)]
    if kind == "stop":
        return [(round_plate(0.52 * size, 8), _RED), (board(0.36 * size, -0.1 * size, 0.1 * size), _WHITE)]
    if kind == "priority":
        return [(round_plate(0.52 * size, 4), _WHITE), (round_plate(0.4 * size, 4), _YELLOW)]
    if kind == "parking":
        return [
            (board(0.42 * size, -0.42 * size, 0.42 * size), _BLUE),
            (board(0.08 * size, -0.25 * size, 0.28 * size), _WHITE),
        ]
    letters = [
        (board(0.1, -0.05, 0.05) + np.array([d, h, 0], np.float32), _WHITE)
        for d in (-0.6, -0.25, 0.1, 0.45)
        for h in (0.18, -0.18)
    ]
    return [
        (board(0.95, -0.42, 0.42), _WHITE),
        (board(0.9, -0.38, 0.38), _BLUE if size > 0.7 else (0.1, 0.4, 0.22)),
        *letters,
    ]


SIGNS = (
    "limit",
    "no_entry",
    "no_parking",
    "mandatory",
    "warning",
    "yield",
    "stop",
    "priority",
    "parking",
    "direction",
)


def traffic_sign(rng: Generator, scenery: Scenery, u: float, s: float, towards: bool, metal: Array) -> None:
    """One or two signs on a pole, turned towards the camera or showing their grey backs."""
    tall = float(rng.uniform(2.2, 2.9))
    faces = [_bars(scenery, u, s, np.array([[[0, 0, 0], [0, tall + 0.35, 0]]], np.float32), 0.04, metal)]
    y, turn = tall, float(rng.normal(0, 0.12))
    for _ in range(2 if rng.random() < 0.25 else 1):
        size = float(rng.uniform(0.6, 0.9))
        kind = str(rng.choice(SIGNS))
        for i, (outline, color) in enumerate(_plate(kind, y, size)):
            if towards or i == 0:
                shown = np.array(color if towards else (0.5, 0.51, 0.52), np.float32)
                corners = scenery.street.place(outline, u, s, KERB, turn)
                faces.append(
                    make_faces(corners, shown, LabelId.TRAFFIC_SIGN, glow=0.25 if towards else 0.0, lit_when_dark=True)
                )
        y -= 0.85
    scenery.add((u - 0.1, u + 0.1, s - 0.1, s + 0.1), faces)


def bollard(scenery: Scenery, u: float, s: float, color: Array) -> None:
    """A knee-high post at the kerb."""
    faces = [_bars(scenery, u, s, np.array([[[0, 0, 0], [0, 0.9, 0]]], np.float32), 0.07, color)]
    band = np.array([[[0, 0.72, 0], [0, 0.78, 0]]], np.float32)
    faces.append(_bars(scenery, u, s, band, 0.075, np.array([0.8, 0.8, 0.78], np.float32)))
    scenery.add((u - 0.08, u + 0.08, s - 0.08, s + 0.08), faces)


def utility_pole(scenery: Scenery, u: float, s: float) -> None:
    """A wooden pole with a cross-arm."""
    wood = np.array([0.36, 0.29, 0.23], np.float32)
    bars = np.array([[[0, 0, 0], [0, 8.5, 0]], [[-0.9, 7.7, 0], [0.9, 7.7, 0]]], np.float32)
    scenery.add((u - 0.15, u + 0.15, s - 0.15, s + 0.15), [_bars(scenery, u, s, bars, 0.12, wood)])


def street_bin(rng: Generator, scenery: Scenery, u: float, s: float) -> None:
    """A litter bin, a parcel box or a switch cabinet."""
    size = np.array([[0.45, 0.9, 0.45], [0.9, 1.3, 0.4], [0.6, 1.1, 0.7]])[rng.integers(3)]
    tones = ((0.2, 0.32, 0.22), (0.45, 0.46, 0.47), (0.75, 0.6, 0.12), (0.28, 0.3, 0.34), (0.6, 0.18, 0.14))
    shape = box((-size[0] / 2, size[0] / 2), (0, size[1]), (-size[2] / 2, size[2] / 2))
    corners = scenery.street.place(shape, u, s, KERB)
    center = corners.reshape(-1, 3).mean(0)
    color = np.array(tones[rng.integers(len(tones))])
    faces = [make_faces(corners, color, LabelId.STATIC, tile="dirty", metres=1.0, center=center)]
    scenery.add((u - size[0] / 2, u + size[0] / 2, s - size[2] / 2, s + size[2] / 2), faces)
