"""Passenger cars: bodies extruded from a side profile, with glass, wheels and lights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.scenes.world.arrays import Array
from pipeline.scenes.world.labels import LabelId
from pipeline.scenes.world.mesh import Lamp, Scenery, make_faces
from pipeline.scenes.world.shapes import disc, even, inset, prism


@dataclass(frozen=True)
class CarShape:
    """A side profile in metres: overall size, heights, and the lengths it is made of from nose to tail."""

    length: float
    width: float
    height: float
    belt: float
    hood: float
    hood_length: float
    windshield: float
    rear_glass: float
    trunk: float
    wheel: float


SHAPES = {
    "sedan": CarShape(4.6, 1.8, 1.45, 0.93, 0.82, 1.15, 0.75, 0.65, 0.6, 0.32),
    "hatchback": CarShape(4.0, 1.74, 1.48, 0.92, 0.82, 0.95, 0.7, 0.4, 0.08, 0.31),
    "estate": CarShape(4.7, 1.8, 1.48, 0.93, 0.83, 1.15, 0.75, 0.35, 0.06, 0.32),
    "suv": CarShape(4.5, 1.88, 1.7, 1.08, 1.0, 1.1, 0.6, 0.35, 0.08, 0.37),
    "mini": CarShape(3.5, 1.62, 1.5, 0.9, 0.8, 0.65, 0.65, 0.3, 0.05, 0.29),
    "coupe": CarShape(4.4, 1.82, 1.34, 0.88, 0.76, 1.3, 0.8, 0.95, 0.4, 0.33),
    "van": CarShape(4.9, 1.92, 1.95, 1.1, 1.0, 0.65, 0.7, 0.1, 0.04, 0.34),
}
_WEIGHTS = (0.2, 0.26, 0.15, 0.17, 0.08, 0.06, 0.08)

PAINTS = np.array(
    [
        [0.72, 0.73, 0.74], [0.52, 0.54, 0.57], [0.28, 0.29, 0.31], [0.09, 0.09, 0.1], [0.8, 0.8, 0.79],
        [0.5, 0.06, 0.07], [0.09, 0.14, 0.33], [0.14, 0.27, 0.5], [0.1, 0.24, 0.18], [0.58, 0.52, 0.43],
        [0.62, 0.28, 0.07], [0.72, 0.58, 0.09], [0.28, 0.12, 0.1], [0.38, 0.48, 0.53],
    ],
    np.float32,
)  # fmt: skip
_PAINT_WEIGHTS = np.array([0.13, 0.14, 0.14, 0.15, 0.1, 0.07, 0.07, 0.06, 0.03, 0.05, 0.01, 0.01, 0.02, 0.02])
GLASS = np.array([0.13, 0.16, 0.19], np.float32)
_CORNERS = 14
_UNSET = np.full(3, np.nan, np.float32)


@dataclass(frozen=True)
class CarMesh:
    """A car of one shape before it is painted, in drawing order, about its middle and heading along z.

    corners: [F,14,3]. color: [F,3] and paint: [F], so that a face shows color + paint * (the car's paint).
    normals: [F,3], nan for the faces' own. glow: [F]. tail: bool [F], the lamps that light up on braking.
    """

    corners: Array
    color: Array
    paint: Array
    normals: Array
    glow: Array
    tail: NDArray[np.bool_]


class _Builder:
    """Collects the faces of a car."""

    def __init__(self) -> None:
        self.corners: list[Array] = []
        self.rows: list[tuple[Array, float, Array, float, bool]] = []

    def add(
        self, polygons: Array, color: float | tuple[float, ...] | Array = 0.0, paint: float = 0.0,
        normal: Array = _UNSET, glow: float = 0.0, tail: bool = False,
    ) -> None:  # fmt: skip
        """Faces [F,K,3] of one colour."""
        tone = np.broadcast_to(np.asarray(color, np.float32), (3,))
        self.corners.append(even(polygons, _CORNERS))
        self.rows += [(tone, paint, normal, glow, tail)] * len(polygons)

    def mesh(self, length: float) -> CarMesh:
        """All faces so far, moved so that the middle of the car is the origin."""
        color, paint, normals, glow, tail = zip(*self.rows, strict=True)
        corners = np.concatenate(self.corners) - np.array([0, 0, length / 2], np.float32)
        return CarMesh(
            corners, np.stack(color), np.array(paint, np.float32), np.stack(normals).astype(np.float32),
            np.array(glow, np.float32), np.array(tail, np.bool_),
        )  # fmt: skip


def wheels(half: float, radius: float, axles: tuple[float, ...]) -> list[tuple[Array, float]]:
    """Wheels on both sides of a vehicle: for arch, tyre, rim and hub, outlines [N,14,3] with their grey."""
    layers = []
    for scale, out, tone in (
        (1.14, 0, 0.03),
        (1, 0.012, 0.07),
        (0.66, 0.018, 0.46),
        (0.56, 0.02, 0.26),
        (0.2, 0.022, 0.45),
    ):
        rounds = [disc((sign * (half + out), radius, z), radius * scale, 14) for z in axles for sign in (-1, 1)]
        layers.append((np.stack(rounds), tone))
    return layers


def _profile(shape: CarShape) -> tuple[Array, Array]:
    """Points (z, y) from the rear bumper over the roof to the front bumper, and half the width at each."""
    length, top = shape.length, shape.height
    tail_roof = shape.trunk + shape.rear_glass
    nose_roof = length - shape.hood_length - shape.windshield
    points = np.array(
        [
            [0.06, 0.28], [0.0, 0.5], [0.03, shape.belt - 0.06], [shape.trunk, shape.belt],
            [tail_roof, top - 0.05], [tail_roof + 0.2, top], [nose_roof - 0.25, top], [nose_roof, top - 0.06],
            [length - shape.hood_length, shape.belt], [length - 0.35, shape.hood],
            [length - 0.06, shape.hood - 0.14], [length, 0.5], [length - 0.06, 0.26],
        ],
        np.float32,
    )  # fmt: skip
    half = shape.width / 2
    widths = np.array([0.94, 0.96, 0.96, 0.97, 0.8, 0.79, 0.79, 0.8, 0.97, 0.96, 0.92, 0.92, 0.9], np.float32) * half
    return points, widths


def _sides(car: _Builder, shape: CarShape) -> None:
    points, widths = _profile(shape)
    half = shape.width / 2

    def side(outline: Array, out: Array | float, sign: int) -> Array:
        x = np.broadcast_to(np.asarray(out, np.float32) * sign, (len(outline),))
        return np.stack([x, outline[:, 1], outline[:, 0]], axis=-1)[None]

    body = np.array([1, 2, 3, 8, 9, 10, 11, 12, 0])
    waist = np.array([[shape.length, 0.57], [0.0, 0.6]], np.float32)
    upper = np.concatenate([points[[2, 3, 8, 9, 10]], waist])
    upper_out = np.concatenate([widths[[2, 3, 8, 9, 10]], [0.92 * half, 0.96 * half]])
    sill = np.array([[shape.length - 0.5, 0.2], [shape.length - 0.5, 0.3], [0.45, 0.3], [0.45, 0.2]], np.float32)
    cabin, cabin_out = points[3:9], widths[3:9]
    low, high = shape.belt + 0.03, shape.height - 0.12
    z0, z1, t0, t1 = (float(cabin[i, 0]) for i in (0, 5, 1, 4))
    post = 0.5 * (t0 + t1) - 0.05
    rear = np.array([[z0 + 0.2, low], [post - 0.04, low], [post - 0.04, high], [t0 + 0.12, high]], np.float32)
    front = np.array([[post + 0.04, low], [z1 - 0.22, low], [t1 - 0.06, high], [post + 0.04, high]], np.float32)
    glint = np.array(
        [[post + 0.1, low + 0.1], [post + 0.3, low + 0.1], [post + 0.45, high], [post + 0.25, high]],
        np.float32,
    )
    glass_out = np.array([0.955, 0.955, 0.83, 0.83], np.float32) * half
    seams = [(post, 0.3, low), (z1 - 0.12, 0.35, low), (max(z0, 0.5), 0.5, low)]
    for sign in (-1, 1):
        lean = np.array([sign, 0, 0], np.float32)
        down, level, up = (lean * 0.85 + np.array([0, tilt, 0], np.float32) for tilt in (-0.5, 0.05, 0.52))
        car.add(side(points[body], widths[body], sign), paint=0.93, normal=down)
        car.add(side(upper, upper_out, sign), paint=1.0, normal=up)
        crease = np.array(
            [[0.1, 0.57], [shape.length - 0.1, 0.54], [shape.length - 0.1, 0.585], [0.1, 0.615]], np.float32
        )
        car.add(side(crease, half * 0.955, sign), paint=0.97, normal=level)
        car.add(side(sill, half * 0.95, sign), 0.07)
        car.add(side(cabin, cabin_out, sign), paint=0.9, normal=up)
        car.add(side(rear, glass_out, sign), GLASS * 0.85)
        car.add(side(front, glass_out, sign), GLASS * 1.1)
        car.add(side(glint, glass_out, sign), GLASS * 1.9)
        for z, bottom, top in seams:
            line = np.array([[z - 0.012, bottom], [z + 0.012, bottom], [z + 0.012, top], [z - 0.012, top]], np.float32)
            car.add(side(line, half * 0.965, sign), 0.03, paint=0.3)
        for z in (post - 0.32, z1 - 0.95):
            grip = np.array([[z, 0.78], [z + 0.18, 0.78], [z + 0.18, 0.81], [z, 0.81]], np.float32)
            car.add(side(grip, half * 0.97, sign), 0.06, paint=0.45)


def _ends(car: _Builder, shape: CarShape) -> None:
    points, widths = _profile(shape)
    across = prism(points, widths)
    car.add(across, paint=1.0)
    car.add(inset(across[5:6], (0.2, 0.8), (0.1, 0.9)), paint=1.04)
    car.add(inset(across[3:4], (0.07, 0.93), (0.12, 0.86)), GLASS * 0.9)
    car.add(inset(across[3:4], (0.1, 0.6), (0.5, 0.8)), GLASS * 1.6)
    car.add(inset(across[7:8], (0.05, 0.95), (0.08, 0.95)), GLASS)
    car.add(inset(across[7:8], (0.08, 0.5), (0.1, 0.55)), GLASS * 2.1)
    car.add(inset(across[7:8], (0.05, 0.95), (0.88, 0.97)), 0.04)
    tail, tail_low, nose, nose_low = across[1:2], across[0:1], across[10:11], across[11:12]
    car.add(inset(tail_low, (0, 1), (0.0, 0.75)), 0.09)
    car.add(inset(tail, (0.02, 0.98), (0.02, 0.1)), 0.02, paint=0.5)
    car.add(inset(nose_low, (0, 1), (0.25, 1.0)), 0.09)
    car.add(inset(nose_low, (0.15, 0.85), (0.1, 0.5)), 0.05)
    car.add(inset(nose, (0.28, 0.72), (0.25, 0.85)), 0.055)
    car.add(inset(nose, (0.3, 0.7), (0.5, 0.58)), 0.5)
    car.add(inset(tail, (0.36, 0.64), (0.12, 0.38)), (0.72, 0.71, 0.64))
    car.add(inset(nose_low, (0.37, 0.63), (0.15, 0.55)), (0.72, 0.72, 0.68))
    for x in ((0.0, 0.2), (0.8, 1.0)):
        car.add(inset(tail, x, (0.5, 0.98)), (0.42, 0.04, 0.04), glow=1.6, tail=True)
        car.add(inset(nose, (x[0] * 0.98 + 0.01, x[1] * 0.98 + 0.01), (0.15, 0.8)), (0.62, 0.64, 0.66), glow=9.0)


@lru_cache(maxsize=len(SHAPES))
def car_mesh(name: str) -> CarMesh:
    """The mesh of one of SHAPES."""
    shape, car = SHAPES[name], _Builder()
    arm = [[0.68 * shape.length, shape.belt], [0.68 * shape.length, shape.belt + 0.15]]
    mirrors = prism(arm, shape.width / 2 + 0.17)
    # Drawn first, so that the mirrors show only where they stick out from the body.
    for x in ((0.0, 0.09), (0.91, 1.0)):
        car.add(inset(mirrors, x, (0, 1)), paint=0.7, normal=np.array([0, 0, -1], np.float32))
    _sides(car, shape)
    for rounds, tone in wheels(shape.width / 2 * 0.96, shape.wheel, (0.19 * shape.length, 0.8 * shape.length)):
        car.add(rounds, tone)
    _ends(car, shape)
    return car.mesh(shape.length)


def build_car(rng: Generator, scenery: Scenery, u: float, s: float, turn: float, driving: bool) -> None:
    """A car with its middle at (u, s); turn 0 heads away from the camera, pi towards it."""
    name = list(SHAPES)[rng.choice(len(SHAPES), p=_WEIGHTS)]
    shape, mesh, scale = SHAPES[name], car_mesh(name), float(rng.uniform(0.95, 1.06))
    paint = PAINTS[rng.choice(len(PAINTS), p=_PAINT_WEIGHTS)] * rng.uniform(0.88, 1.08)
    brakes = driving and rng.random() < 0.35
    corners = scenery.street.place(mesh.corners * scale, u, s, 0.0, turn)
    angle = scenery.street.heading(s) + turn
    c, d = np.cos(angle), np.sin(angle)
    normals = mesh.normals @ np.array([[c, 0, -d], [0, 1, 0], [d, 0, c]], np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    color, glow = mesh.color + mesh.paint[:, None] * paint, mesh.glow * driving
    if brakes:
        color = np.where(mesh.tail[:, None], color * np.array([1.8, 1.3, 1.3]), color)
        glow = np.where(mesh.tail, 2.2, glow)
    scenery.add(
        _extent(shape.width * scale, shape.length * scale, u, s, turn),
        [
            make_faces(
                corners, np.clip(color, 0, 1), LabelId.CAR, instance=scenery.new_instance(LabelId.CAR),
                center=scenery.street.place((0, 0.65 * shape.belt * scale, 0), u, s, 0.0, turn),
                normals=normals, glow=glow.astype(np.float32), lit_when_dark=~(mesh.tail & brakes),
            )
        ],
    )  # fmt: skip
    if driving and abs(turn) > 2 and s < 60:
        spot = scenery.street.place((0.0, 0.6, 0.5 * shape.length + 1.2), u, s, 0.0, turn)
        scenery.lamps.append(Lamp((float(spot[0]), float(spot[1]), float(spot[2])), (1.0, 0.96, 0.88), 0.5, 3.5))


def _extent(width: float, length: float, u: float, s: float, turn: float) -> tuple[float, float, float, float]:
    half_u = 0.5 * (abs(np.cos(turn)) * width + abs(np.sin(turn)) * length)
    half_s = 0.5 * (abs(np.cos(turn)) * length + abs(np.sin(turn)) * width)
    return (u - half_u, u + half_u, s - half_s, s + half_s)
