"""Buildings along the street, one piece after another so that painter's order stays exact."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from pipeline.scenes.world.arrays import Array
from pipeline.scenes.world.designs import Design, sample_design
from pipeline.scenes.world.labels import LabelId
from pipeline.scenes.world.mesh import Faces, Scenery, make_faces
from pipeline.scenes.world.shapes import capsules
from pipeline.scenes.world.street import KERB, REACH


class _Piece:
    """One piece of a building between two s: its quads, back to front."""

    def __init__(self, scenery: Scenery, front: float, sign: int, s: tuple[float, float]) -> None:
        self.scenery, self.front, self.sign, self.s = scenery, front, sign, s
        self.quads: list[list[tuple[float, float, float]]] = []
        self.colors: list[Array] = []
        self.tiles: list[str] = []
        self.uv: list[tuple[tuple[float, float], ...]] = []

    def quad(
        self, out: tuple[float, ...], y: tuple[float, ...], s: tuple[float, ...], color: Array, tile: str,
        cells: tuple[float, float, float],
    ) -> None:  # fmt: skip
        """A quad by its corners: metres behind the front, heights, s.

        cells: first column, columns and rows of the tile.
        """
        self.quads.append(list(zip(out, y, s, strict=True)))
        self.colors.append(color)
        self.tiles.append(tile)
        column, columns, rows = cells
        self.uv.append(((column, 0), (column + columns, 0), (column + columns, rows)))

    def wall(
        self,
        out: tuple[float, float],
        y: tuple[float, float],
        s: tuple[float, float],
        color: Array,
        tile: str,
        cells: tuple[float, float, float],
    ) -> None:
        """An upright or leaning quad along the street, from (out[0], y[0]) to (out[1], y[1])."""
        (a, b), (low, high), (s0, s1) = out, y, s
        self.quad((a, a, b, b), (low, low, high, high), (s0, s1, s1, s0), color, tile, cells)

    def gable(self, depth: float, y: tuple[float, float], color: Array, tile: str, cells: tuple[float, float]) -> None:
        """The wall towards the camera at the near end."""
        low, high = y
        self.quad((0, depth, depth, 0), (low, low, high, high), (self.s[0],) * 4, color, tile, (0, *cells))

    def block(
        self,
        out: tuple[float, float],
        y: tuple[float, float],
        s: tuple[float, float],
        color: Array,
        tile: str = "plaster",
    ) -> None:
        """A box standing out from the front by -out[0] metres, as seen from the street."""
        (a, b), (low, high), (s0, s1) = out, y, s
        long, deep, tall = (s1 - s0) / 3, (b - a) / 3, (high - low) / 3
        for level in (high, low):
            self.quad((a, a, b, b), (level,) * 4, (s0, s1, s1, s0), color, tile, (0, long, deep))
        self.quad((a, b, b, a), (low, low, high, high), (s0,) * 4, color, tile, (0, deep, tall))
        self.wall((a, a), y, s, color, tile, (0, long, tall))

    def faces(self) -> Faces:
        """All quads in world coordinates."""
        corners = np.array(self.quads, np.float32)
        points = self.scenery.street.points(
            self.front + self.sign * corners[..., 0], KERB + corners[..., 1], corners[..., 2]
        )
        return make_faces(points, np.array(self.colors), LabelId.BUILDING, tile=tuple(self.tiles), uv=self.uv)


def _roof(piece: _Piece, design: Design, first: bool, overhang: float) -> None:
    s0, s1 = piece.s
    top = design.eaves
    columns = (s1 - s0) / 4.0
    if design.roof == "flat":
        piece.block((-0.18, 0.5), (top - 0.1, top + 0.55), piece.s, np.minimum(design.wall * 1.08, 0.95))
        return
    rise = design.depth * (0.3 if design.roof == "slope" else 0.22)
    if first:
        peak = design.depth / 2
        piece.quad(
            (0, design.depth, peak, peak),
            (top, top, top + rise, top + rise),
            (s0,) * 4,
            design.wall,
            "plaster",
            (0, 2, 1),
        )
    slopes = [(-overhang, design.depth / 2, top - 0.12, top + rise)]
    if design.roof == "mansard":
        slopes = [
            (-overhang, 1.2, top, top + 2.6),
            (1.2, design.depth / 2, top + 2.6, top + 2.6 + 0.4 * rise),
        ]
    for a, b, low, high in slopes:
        piece.wall((a, b), (low, high), piece.s, design.roof_color, "roof", (0, columns, 1.2))
    if overhang > 0.05:
        piece.block((-overhang, 0.0), (top - 0.28, top - 0.1), piece.s, np.array([0.8, 0.79, 0.76], np.float32))


def _extras(rng: Generator, piece: _Piece, design: Design, bays: int) -> None:
    s0, s1 = piece.s
    pale = np.minimum(design.wall * 1.15, 0.92)
    if design.ledges:
        piece.block((-0.16, 0.05), (design.ground_floor - 0.12, design.ground_floor + 0.1), piece.s, pale)
        if design.roof == "flat":
            piece.block((-0.45, 0.1), (design.eaves - 0.35, design.eaves - 0.02), piece.s, pale)
    width = (s1 - s0) / bays
    if design.balconies and s0 < 90:
        for storey in range(1, design.storeys + 1):
            y = design.ground_floor + (storey - 1) * design.storey + 0.05
            for bay in range(bays):
                if (bay + storey) % 2 == 0:
                    a = s0 + (bay + 0.12) * width
                    piece.block((-1.0, 0), (y - 0.12, y), (a, a + 0.76 * width), pale * 0.85)
                    piece.block((-1.0, -0.94), (y, y + 0.95), (a, a + 0.76 * width), design.base * 0.7, "metal")
    if design.awning and s0 < 100:
        for bay in range(bays):
            if rng.random() < 0.7:
                _awning(rng, piece, s0 + bay * width + 0.1, width - 0.2, design.ground_floor)


def _awning(rng: Generator, piece: _Piece, s: float, width: float, floor: float) -> None:
    stripes = int(rng.integers(1, 9))
    tones = np.stack([rng.uniform(0.15, 0.75, 3) * [1, 0.7, 0.7], rng.uniform(0.7, 0.92, 3)]).astype(np.float32)
    out, top = rng.uniform(0.9, 1.6), floor * 0.8
    low = top - rng.uniform(0.4, 0.8)
    for i in range(stripes):
        a, b = s + i * width / stripes, s + (i + 1) * width / stripes
        piece.wall((-out, 0), (low, top), (a, b), tones[i % 2], "cloth", (0, 0.3, 0.5))
        piece.wall((-out, -out), (low - 0.25, low), (a, b), tones[i % 2] * 0.9, "cloth", (0, 0.3, 0.2))


def build_house(
    rng: Generator, scenery: Scenery, sign: int, front: float, s0: float, length: float, design: Design
) -> None:
    """A building with its front at u = `front` from s0 to s0 + length, cut into pieces of a few bays."""
    bays = max(1, round(length / design.bay))
    step = max(1, round(9.0 / design.bay))
    overhang = float(rng.uniform(0.2, 0.5)) if design.roof == "slope" else 0.0
    for first in range(0, bays, step):
        count = min(step, bays - first)
        a, b = s0 + first * length / bays, s0 + (first + count) * length / bays
        piece = _Piece(scenery, front, sign, (a, b))
        side_bays = max(1, round(design.depth / design.bay))
        if first == 0:
            side = "plaster" if rng.random() < 0.5 else design.tile
            piece.gable(design.depth, (0, design.ground_floor), design.base, "plaster", (3, 1))
            if design.storeys:
                y = (design.ground_floor, design.eaves)
                piece.gable(design.depth, y, design.wall * 0.97, side, (side_bays, design.storeys))
        _roof(piece, design, first == 0, overhang)
        piece.wall((0, 0), (-0.3, 0.35), piece.s, design.base * 0.6, "stone", (0, 2, 0.25))
        piece.wall((0, 0), (0.0, design.ground_floor), piece.s, design.base, design.ground_tile, (first, count, 1))
        if design.storeys:
            y = (design.ground_floor, design.eaves)
            piece.wall((0, 0), y, piece.s, design.wall, design.tile, (first, count, design.storeys))
        _extras(rng, piece, design, count)
        pipes: list[Faces] = []
        if first == 0 and a < 80:
            foot = scenery.street.points(front - sign * 0.08, KERB, a + 0.15)
            head = scenery.street.points(front - sign * 0.08, KERB + design.eaves, a + 0.15)
            pipe = capsules(foot, head, 0.055, 0.055, scenery.camera.position)
            pipes = [make_faces(pipe, (0.45, 0.44, 0.42), LabelId.BUILDING)]
        if design.roof != "flat" and rng.random() < 0.6:
            ridge = design.eaves + design.depth * 0.2
            at = rng.uniform(a + 0.5, b - 1.2)
            out = design.depth * 0.3
            piece.block((out, out + 0.6), (ridge, ridge + 2.2), (at, at + 0.7), design.base * 0.8, "brick")
        u = sorted((front - sign * 0.1, front + sign * design.depth))
        scenery.add((u[0], u[1], a, b), [piece.faces(), *pipes])


def build_row(rng: Generator, scenery: Scenery, sign: int) -> None:
    """Buildings along one side, with gaps at side streets and between detached houses."""
    side, kerb = scenery.street.side(sign)
    front = kerb + sign * side.front
    tallest = int(rng.integers(2, 6)) if side.kind != "blocks" else int(rng.integers(4, 10))
    s = float(rng.uniform(-14, -4))
    while s < REACH - 30:
        length = float(rng.uniform(7, 20) if side.kind != "blocks" else rng.uniform(14, 34))
        blocked = [
            j for j in scenery.street.junctions
            if (j.right if sign > 0 else j.left) and s < j.s1 + 2.5 and s + length > j.s0 - 2.5
        ]  # fmt: skip
        if blocked:
            room = blocked[0].s0 - 2.5 - s
            if room < 5:
                s = blocked[0].s1 + 2.5
                continue
            length = room
        shift = float(rng.uniform(0, 1.2)) if side.kind in ("detached", "blocks") else 0.0
        build_house(rng, scenery, sign, front + sign * shift, s, length, sample_design(rng, side.kind, tallest))
        s += length
        if side.kind == "detached":
            s += float(rng.uniform(1.5, 7))
        elif side.kind == "blocks":
            s += float(rng.uniform(0, 9))


def build_backdrop(rng: Generator, scenery: Scenery) -> None:
    """Buildings closing the view down side streets and at the far end."""
    street = scenery.street
    for junction in street.junctions:
        for sign, here in ((-1, junction.left), (1, junction.right)):
            if here:
                front = street.side(sign)[1] + sign * float(rng.uniform(45, 75))
                design = sample_design(rng, "row", 4)
                build_house(rng, scenery, sign, front, junction.s0 - 25, junction.s1 - junction.s0 + 60, design)
    if rng.random() < 0.7:
        for u in np.arange(-60, 60, 18):
            design = sample_design(rng, "blocks", int(rng.integers(2, 6)))
            piece = _Piece(scenery, float(u), 1, (REACH, REACH + 10))
            piece.gable(17.5, (0, design.eaves), design.wall, design.tile, (6, max(design.storeys, 1)))
            scenery.add((float(u), float(u) + 17.5, REACH, REACH + 10), [piece.faces()])
