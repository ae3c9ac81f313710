"""The ground: carriageway, marks, pavements, verges, side streets."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from pipeline.scenes.world.arrays import Array
from pipeline.scenes.world.labels import LabelId
from pipeline.scenes.world.mesh import Scenery, make_faces
from pipeline.scenes.world.street import KERB, Junction

_CUTS = (-3, -1, 1, 3, 5, 8, 12, 17, 23, 30, 38, 48, 60, 74, 90, 110, 135, 165, 200, 230)
_FAR_SIDE = 120.0


def _pieces(s0: float, s1: float) -> Array:
    inner = [cut for cut in _CUTS if s0 + 0.2 < cut < s1 - 0.2]
    return np.array([s0, *inner, s1], np.float32)


class GroundPainter:
    """Lays strips of ground along the street of a scenery."""

    def __init__(self, scenery: Scenery) -> None:
        self.scenery = scenery
        self.street = scenery.street

    def strip(
        self,
        u: tuple[float, float],
        s: tuple[float, float],
        color: Array,
        label: LabelId,
        tile: str,
        metres: float,
        y: float = 0.0,
        fine: bool = True,
    ) -> None:
        """A strip of ground between two u and two s, at height y over the carriageway."""
        cuts = _pieces(*s) if fine else np.array(s, np.float32)
        a, b = cuts[:-1], cuts[1:]
        points = self.street.points(np.array([[u[0], u[1], u[1], u[0]]]), y, np.stack([a, a, b, b], axis=1))
        flat = np.stack(
            [
                np.stack([np.full_like(a, u[0]), a], -1),
                np.stack([np.full_like(a, u[1]), a], -1),
                np.stack([np.full_like(a, u[1]), b], -1),
            ],
            axis=1,
        )
        self._add(points, color, label, tile, metres, flat / metres)

    def kerb(self, u: float, s: tuple[float, float], color: Array) -> None:
        """The upright face of a kerb at u."""
        cuts = _pieces(*s)
        a, b = cuts[:-1, None], cuts[1:, None]
        s_corners = np.concatenate([a, b, b, a], axis=1)
        points = self.street.points(u, np.array([[0, 0, KERB, KERB]]), s_corners)
        self._add(points, color * 0.8, LabelId.SIDEWALK, "plaster", 2.0, None)

    def quad(self, u: Array, s: Array, color: Array, label: LabelId, tile: str = "dirty", metres: float = 2.0) -> None:
        """Marks on the carriageway: quads with corners u [F,4], s [F,4]."""
        self._add(self.street.points(u, 0.0, s), color, label, tile, metres, None)

    def _add(self, points: Array, color: Array, label: LabelId, tile: str, metres: float, uv: Array | None) -> None:
        self.scenery.ground.append(
            make_faces(points, color, label, tile=tile, uv=uv, metres=metres, layer="ground", normals=(0, 1, 0))
        )


def _rectangles(u0: ArrayLike, u1: ArrayLike, s0: ArrayLike, s1: ArrayLike) -> tuple[Array, Array]:
    u0, u1, s0, s1 = np.broadcast_arrays(*(np.asarray(v, np.float32) for v in (u0, u1, s0, s1)))
    return np.stack([u0, u1, u1, u0], -1), np.stack([s0, s0, s1, s1], -1)


def _dashes(painter: GroundPainter, u: float, dash: float, gap: float, shift: float, color: Array) -> None:
    s0 = np.arange(-2 + shift, 150, dash + gap)
    keep = [not any(j.s0 - 4 < s < j.s1 + 1 for j in painter.street.junctions) for s in s0]
    s0 = s0[np.array(keep, bool)]
    painter.quad(*_rectangles(u - 0.07, u + 0.07, s0, s0 + dash), color, LabelId.ROAD)


def _line(painter: GroundPainter, u: float, color: Array, width: float = 0.12) -> None:
    ends = [-3.0]
    for junction in painter.street.junctions:
        ends += [junction.s0 - 2.0, junction.s1 + 2.0]
    ends.append(150.0)
    for a, b in zip(ends[::2], ends[1::2], strict=True):
        if b > a + 1:
            painter.strip((u - width / 2, u + width / 2), (a, b), color, LabelId.ROAD, "dirty", 2.0)


def _marks(rng: Generator, painter: GroundPainter) -> None:
    street = painter.street
    white = np.array([0.8, 0.8, 0.78], np.float32) * rng.uniform(0.72, 1.08)
    yellow = np.array([0.82, 0.66, 0.22], np.float32)
    center = yellow if rng.random() < 0.25 else white
    dash, gap, shift = rng.uniform(2, 6), rng.uniform(2.5, 9), rng.uniform(0, 5)
    painted = rng.random()
    if street.lanes_left and street.median == 0 and painted > 0.12:
        if painted < 0.65:
            _dashes(painter, 0.0, dash, gap, shift, center)
        elif painted < 0.85:
            _line(painter, 0.0, center)
        else:
            _line(painter, -0.13, center)
            _line(painter, 0.13, center)
    for sign, lanes in ((1, street.lanes_right), (-1, street.lanes_left)):
        for i in range(1, lanes):
            _dashes(painter, sign * (street.median / 2 + i * street.lane), dash, gap, shift, white)
        kerb = street.side(sign)[1]
        parking = street.parking_right if sign > 0 else street.parking_left
        if parking > 1 and rng.random() < 0.6:
            bays = np.arange(-2, 90, 5.5)
            clear = np.array([street.clear_of_junctions(s, sign, 5) for s in bays], bool)
            inner = kerb - sign * parking
            painter.quad(
                *_rectangles(min(inner, kerb), max(inner, kerb), bays[clear], bays[clear] + 0.1),
                white,
                LabelId.ROAD,
            )
            _dashes(painter, inner, 4.0, 1.5, 0.0, white)
        elif rng.random() < 0.4:
            _line(painter, kerb - sign * 0.4, yellow if rng.random() < 0.3 else white)
    if street.cycle_lane:
        u = street.edge_right - street.cycle_lane
        if rng.random() < 0.5:
            red = np.array([0.52, 0.25, 0.2], np.float32) * rng.uniform(0.8, 1.1)
            painter.strip((u, street.edge_right - 0.2), (-3, 150), red, LabelId.ROAD, "asphalt", 4.0)
        _line(painter, u, white, 0.16)
    for s in street.zebras:
        u0 = np.arange(street.edge_left + 0.4, street.edge_right - 0.5, 1.1)
        painter.quad(*_rectangles(u0, u0 + 0.55, s, s + 3.2), white, LabelId.ROAD)
    for junction in street.junctions:
        if rng.random() < 0.7:
            stop = junction.s0 - (5.5 if any(abs(z - junction.s0 + 4.2) < 0.1 for z in street.zebras) else 1.5)
            painter.quad(
                *_rectangles(np.array([0.1]), np.array([street.edge_right - 0.3]), stop - 0.4, stop),
                white,
                LabelId.ROAD,
            )
    if rng.random() < 0.35:
        _arrow(painter, street.median / 2 + street.lane * 0.5, float(rng.uniform(7, 26)), white)


def _arrow(painter: GroundPainter, u: float, s: float, color: Array) -> None:
    corners_u = np.array([[-0.08, 0.08, 0.08, -0.08], [-0.45, 0.45, 0.02, -0.02]], np.float32) + u
    corners_s = np.array([[0, 0, 2.4, 2.4], [2.4, 2.4, 4.0, 4.0]], np.float32) + s
    painter.quad(corners_u, corners_s, color, LabelId.ROAD)


def _repairs(rng: Generator, painter: GroundPainter, asphalt: Array) -> None:
    street = painter.street
    count = int(rng.integers(3, 12))
    u0 = rng.uniform(street.edge_left, street.edge_right - 1.5, count)
    s0 = rng.uniform(2, 60, count)
    shade = rng.uniform(0.72, 1.2, (count, 1)).astype(np.float32)
    u, s = _rectangles(u0, u0 + rng.uniform(0.5, 2.5, count), s0, s0 + rng.uniform(0.8, 9, count))
    painter.quad(u, s, asphalt * shade, LabelId.ROAD, "asphalt", 4.0)
    holes = int(rng.integers(1, 5))
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    u = rng.uniform(street.edge_left + 1, street.edge_right - 1, (holes, 1)) + 0.33 * np.cos(angle)
    s = rng.uniform(4, 45, (holes, 1)) + 0.33 * np.sin(angle)
    painter.quad(u, s, asphalt * rng.uniform(0.5, 0.8), LabelId.ROAD, "metal", 0.5)


def _beside(rng: Generator, painter: GroundPainter, sign: int, paving: Array, grass: Array, tile: str) -> None:
    side, kerb = painter.street.side(sign)

    def strip(a: float, b: float, color: Array, label: LabelId, tile: str, metres: float) -> None:
        low, high = sorted((kerb + sign * a, kerb + sign * b))
        painter.strip((low, high), (-3, 230), color, label, tile, metres, y=KERB)

    walk = side.verge + side.pavement
    strip(0, walk, paving, LabelId.SIDEWALK, tile, 2.0)
    if side.verge:
        strip(0.18, side.verge, grass, LabelId.TERRAIN, "grass", 3.0)
    if side.kind in ("detached", "park", "wall"):
        strip(walk, _FAR_SIDE, grass, LabelId.TERRAIN, "grass", 3.0)
    else:
        strip(walk, walk + side.setback + 6, paving * 0.95, LabelId.SIDEWALK, "slabs", 3.0)
        strip(walk + side.setback + 6, _FAR_SIDE, grass, LabelId.TERRAIN, "gravel", 3.0)
    stone = np.clip(paving * rng.uniform(0.95, 1.25), 0, 0.8)
    low, high = sorted((kerb, kerb + sign * 0.18))
    painter.strip((low, high), (-3, 160), stone, LabelId.SIDEWALK, "stone", 1.0, y=KERB)
    painter.kerb(kerb, (-3, 160), stone)


def _side_street(painter: GroundPainter, junction: Junction, sign: int, asphalt: Array, paving: Array) -> None:
    kerb = painter.street.side(sign)[1]
    low, high = sorted((kerb - sign * 0.05, kerb + sign * _FAR_SIDE))
    for s0, s1 in ((junction.s0 - 2.2, junction.s0), (junction.s1, junction.s1 + 2.2)):
        corner = sorted((kerb, kerb + sign * _FAR_SIDE))
        painter.strip((corner[0], corner[1]), (s0, s1), paving, LabelId.SIDEWALK, "paving", 2.0, y=KERB)
    painter.strip((low, high), (junction.s0, junction.s1), asphalt, LabelId.ROAD, "asphalt", 5.0, y=0.02)
    u, s = _rectangles([low], [high], junction.s1, junction.s1)
    points = painter.street.points(u, np.array([[0, 0, KERB, KERB]]), s)
    painter.scenery.ground.append(
        make_faces(points, paving * 0.75, LabelId.SIDEWALK, layer="ground", normals=(0, 1, 0))
    )


def build_road(rng: Generator, scenery: Scenery) -> None:
    """Build the ground of the street, from the fields at its sides to the marks on the carriageway."""
    painter, street = GroundPainter(scenery), scenery.street
    grey = rng.uniform(0.29, 0.46)
    asphalt = (grey * np.array([1, 1, 1.01]) + rng.uniform(-0.015, 0.015, 3)).astype(np.float32)
    paving = (rng.uniform(0.44, 0.66) * np.array([1, 0.97, 0.92]) + rng.uniform(-0.03, 0.03, 3)).astype(np.float32)
    grass = np.array([0.31, 0.36, 0.18], np.float32) * rng.uniform(0.75, 1.25) + rng.uniform(-0.04, 0.06, 3)
    grass = grass.astype(np.float32)
    tile = str(rng.choice(["asphalt", "worn", "asphalt", "cobbles"], p=[0.45, 0.3, 0.15, 0.1]))
    for sign in (-1, 1):
        tone = paving * rng.uniform(0.92, 1.08)
        _beside(rng, painter, sign, tone, grass, str(rng.choice(["paving", "slabs", "asphalt", "cobbles"])))
    painter.strip((street.edge_left, street.edge_right), (-3, 230), asphalt, LabelId.ROAD, tile, 3.6)
    for junction in street.junctions:
        for sign, here in ((-1, junction.left), (1, junction.right)):
            if here:
                _side_street(painter, junction, sign, asphalt, paving)
    _repairs(rng, painter, asphalt)
    _marks(rng, painter)
    if street.tram:
        steel = np.array([0.32, 0.32, 0.34], np.float32)
        for lane in (0.5, -0.5):
            for rail in (-0.72, 0.72):
                u = lane * street.lane + rail
                painter.strip((u - 0.06, u + 0.06), (-3, 160), steel, LabelId.ROAD, "plain", 2.0)
    if street.median:
        half = street.median / 2 - 0.15
        ends = [-3.0, *(e for j in street.junctions for e in (j.s0, j.s1)), 200.0]
        green = rng.random() < 0.7
        for a, b in zip(ends[::2], ends[1::2], strict=True):
            painter.strip((-half, half), (a, b), paving, LabelId.SIDEWALK, "stone", 1.0, y=KERB)
            if green:
                painter.strip((0.15 - half, half - 0.15), (a, b), grass, LabelId.TERRAIN, "grass", 3.0, y=KERB)
            for u in (-half, half):
                painter.kerb(u, (a, b), paving)
