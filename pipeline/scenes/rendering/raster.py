"""Rasterisation: projects the scenery once and finds the visible face at every sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from pipeline.scenes.rendering.atlas import load_atlas
from pipeline.scenes.rendering.painter import painters_order
from pipeline.scenes.world.arrays import Array, Ints
from pipeline.scenes.world.camera import NEAR, SPREAD, clip_polygon
from pipeline.scenes.world.labels import LabelId
from pipeline.scenes.world.materials import TILE
from pipeline.scenes.world.mesh import Faces, Scenery

SAMPLES = 2
"""Samples a pixel along each axis."""

_SHIFT = 4
_SKY_NEARNESS = 1e-4
_VEIL_BITS = 20
_FACE_MASK = (1 << _VEIL_BITS) - 1


@dataclass(frozen=True)
class FaceTable:
    """The properties of each face that shading needs; row 0 is the sky.

    planes: [F,9]; with a ray (x, y, 1), 1/depth = planes[0:3]·ray, u/depth = planes[3:6]·ray and
    v/depth = planes[6:9]·ray. color: sRGB. normals: unit vectors in the world, towards the camera.
    tile: atlas tile; level: its level of detail. glow, lit_when_dark, ground: as in `Faces`.
    """

    planes: Array
    color: Array
    normals: Array
    label: NDArray[np.uint8]
    instance: NDArray[np.uint16]
    tile: Ints
    level: Ints
    glow: Array
    lit_when_dark: NDArray[np.bool_]
    ground: NDArray[np.bool_]


@dataclass(frozen=True)
class Raster:
    """Face numbers at every sample [height*SAMPLES,width*SAMPLES]: the visible faces, and those of the labels."""

    seen: Ints
    labelled: Ints
    table: FaceTable


def _stack(batches: list[Faces], scenery: Scenery, width: int) -> tuple[FaceTable, Array, Ints, NDArray[np.bool_]]:
    """Face table, camera-space corners of all faces, first corner of each, and which show their back."""
    camera = scenery.camera
    lengths = [len(b.points) for b in batches]
    sizes = np.repeat([b.points.shape[1] for b in batches], lengths)
    corners = camera.to_camera(np.concatenate([b.points.reshape(-1, 3) for b in batches]))
    first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    three = np.concatenate([_three(b.points) for b in batches])

    def per_face(values: list[float] | list[int] | list[bool]) -> NDArray[np.generic]:
        return np.repeat(np.array(values), lengths)

    edge, across = three[:, 1] - three[:, 0], three[:, 2] - three[:, 0]
    flat = np.cross(edge, across)
    turned_away = _turned_away(batches, lengths, flat, three, camera.position)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    flat = flat / np.maximum(length, 1e-9)
    uv = _texture_corners(batches, edge, across, flat, np.asarray(per_face([b.metres for b in batches]), np.float32))
    towards = camera.position - three[:, 0]
    flat *= np.where((flat * towards).sum(1, keepdims=True) < 0, -1, 1)
    given = [np.full((len(b.points), 3), np.nan, np.float32) if b.normals is None else b.normals for b in batches]
    shading = np.concatenate(given)
    normals = np.where(np.isnan(shading), flat, shading).astype(np.float32)

    rows = camera.to_camera(three)
    solvable = np.abs(np.linalg.det(rows)) > 1e-7
    depth = np.maximum(rows[:, :, 2].mean(axis=1), NEAR)
    right = np.concatenate([np.ones((len(uv), 3, 1), np.float32), uv], axis=2)
    planes = np.zeros((len(uv), 3, 3), np.float32)
    planes[~solvable, 0, 2] = 1 / depth[~solvable]
    planes[solvable] = np.linalg.solve(rows[solvable], right[solvable]).transpose(0, 2, 1)

    table = FaceTable(
        planes.reshape(-1, 9),
        np.concatenate([b.color for b in batches]),
        normals,
        np.asarray(per_face([int(b.label) for b in batches]), np.uint8),
        np.asarray(per_face([b.instance for b in batches]), np.uint16),
        _columns([_tiles(b) for b in batches], lengths, np.int32),
        _levels(rows, uv, scenery.camera.focal * width * SAMPLES),
        _columns([b.glow for b in batches], lengths, np.float32),
        _columns([b.lit_when_dark for b in batches], lengths, np.bool_),
        np.asarray(per_face([b.layer == "ground" for b in batches]), np.bool_),
    )
    return table, corners, first, turned_away


def _three(points: Array) -> Array:
    """Three well-spread corners of each polygon: the first three of a quad, thirds of a rounder one."""
    k = points.shape[1]
    return points[:, :3] if k <= 4 else points[:, [0, k // 3, 2 * k // 3]]


def _texture_corners(batches: list[Faces], edge: Array, across: Array, normal: Array, metres: Array) -> Array:
    """Texture coordinates [F,3,2] of the three corners: as given, or laid flat along the first edge."""
    size = np.maximum(np.linalg.norm(edge, axis=1, keepdims=True), 1e-9)
    along = edge / size
    up = np.cross(normal, along)
    uv = np.zeros((len(edge), 3, 2), np.float32)
    uv[:, 1, 0] = size[:, 0] / metres
    uv[:, 2, 0] = (across * along).sum(1) / metres
    uv[:, 2, 1] = (across * up).sum(1) / metres
    start = 0
    for batch in batches:
        stop = start + len(batch.points)
        if batch.uv is not None:
            uv[start:stop] = batch.uv
        start = stop
    return uv


def _levels(rows: Array, uv: Array, focal: float) -> Ints:
    """Level of detail at which a texel covers about a sample, from areas in the texture and the image."""
    flat = rows[:, :, :2] / np.maximum(rows[:, :, 2:], NEAR) * focal
    a, b = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    seen = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    c, d = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    texels = np.abs(c[:, 0] * d[:, 1] - c[:, 1] * d[:, 0]) * TILE * TILE
    ratio = 0.5 * np.log2(np.maximum(texels, 1e-9) / np.maximum(seen, 1e-3))
    return np.clip(np.rint(ratio), 0, load_atlas().offsets.shape[0] - 1).astype(np.int32)


def _sky_row(table: FaceTable) -> FaceTable:
    """The table with the sky put before its first row."""
    columns = {}
    for name, column in vars(table).items():
        columns[name] = np.concatenate([np.zeros((1, *column.shape[1:]), column.dtype), column])
    columns["planes"][0, 2] = _SKY_NEARNESS
    columns["label"][0] = LabelId.SKY
    return FaceTable(**columns)


def rasterize(scenery: Scenery, height: int, width: int) -> Raster:
    """Draw the scenery into face numbers, SAMPLES*SAMPLES a pixel."""
    batches = [*scenery.ground, *(f for solid in scenery.solids for f in solid.faces)]
    table, corners, first, hidden = _stack(batches, scenery, width)
    rows, columns = height * SAMPLES, width * SAMPLES
    starts = first[:-1]
    x, y, z = corners.T
    outside = (z < NEAR) | (np.abs(x) > SPREAD * z) | (np.abs(y) > SPREAD * z)
    cut = np.logical_or.reduceat(outside, starts)
    flat = scenery.camera.project(np.stack([x, y, np.maximum(z, NEAR)], axis=1), rows, columns) - 0.5
    low, high = np.minimum.reduceat(flat, starts), np.maximum.reduceat(flat, starts)
    polygons: dict[int, Array] = {}
    for face in np.flatnonzero(cut & ~hidden).tolist():
        clipped = clip_polygon(corners[first[face] : first[face + 1]])
        if len(clipped) == 0:
            hidden[face] = True
            continue
        polygon = scenery.camera.project(clipped, rows, columns) - 0.5
        polygons[face] = polygon
        low[face], high[face] = polygon.min(0), polygon.max(0)
    hidden |= (high < -1).any(axis=1) | (low[:, 0] > columns) | (low[:, 1] > rows)

    order = _drawing_order(scenery, corners, starts, low, high, hidden)
    seen = np.zeros((rows, columns), np.int32)
    fixed = np.rint(flat * (1 << _SHIFT)).astype(np.int32)
    kinds = np.repeat([b.layer == "veil" for b in batches], [len(b.points) for b in batches])
    veils: list[int] = [0]
    for face in order:
        if face in polygons:
            points = np.rint(polygons[face] * (1 << _SHIFT)).astype(np.int32)
        else:
            points = fixed[first[face] : first[face + 1]]
        if kinds[face]:
            veils.append(face + 1)
            _veil(seen, points, (low[face], high[face]), len(veils) - 1)
        elif len(points) <= 4:
            cv2.fillConvexPoly(seen, points, face + 1, cv2.LINE_8, _SHIFT)
        else:
            cv2.fillPoly(seen, [points], face + 1, cv2.LINE_8, _SHIFT)
    over = seen >> _VEIL_BITS
    seen &= _FACE_MASK
    labelled = np.where(over > 0, np.array(veils, np.int32)[over], seen) if len(veils) > 1 else seen
    return Raster(seen, labelled, _sky_row(table))


def _tiles(batch: Faces) -> int | Ints:
    index = load_atlas().index
    return index[batch.tile] if isinstance(batch.tile, str) else np.array([index[t] for t in batch.tile], np.int32)


def _columns(values: Sequence[float | NDArray[np.generic]], lengths: list[int], dtype: DTypeLike) -> NDArray[Any]:
    """One value a face, from batches that give one for all of theirs or one for each."""
    out = np.repeat([0 if isinstance(v, np.ndarray) else v for v in values], lengths).astype(dtype)
    start = 0
    for value, length in zip(values, lengths, strict=True):
        if isinstance(value, np.ndarray):
            out[start : start + length] = value
        start += length
    return out


def _turned_away(
    batches: list[Faces], lengths: list[int], normal: Array, three: Array, eye: Array
) -> NDArray[np.bool_]:
    """Which faces of closed bodies show their back: the camera is on the side of the body's centre."""
    nowhere = np.full(3, np.nan, np.float32)
    center = np.repeat([nowhere if b.center is None else b.center for b in batches], lengths, axis=0)
    middle = three.mean(axis=1)
    outward = (normal * (middle - center)).sum(1)
    facing = (normal * (eye - middle)).sum(1)
    return np.asarray(outward * facing <= 0)


def _drawing_order(
    scenery: Scenery,
    corners: Array,
    starts: Ints,
    low: Array,
    high: Array,
    hidden: NDArray[np.bool_],
) -> list[int]:
    """Face numbers from back to front: the ground as given, then the solids in painter's order."""
    counts = [sum(len(f.points) for f in solid.faces) for solid in scenery.solids]
    ground = sum(len(f.points) for f in scenery.ground)
    bounds = np.concatenate([[ground], ground + np.cumsum(counts)]).astype(int)
    boxes = np.zeros((len(counts), 4), np.float32)
    for i, (a, b) in enumerate(pairwise(bounds)):
        shown = ~hidden[a:b]
        if shown.any():
            boxes[i] = *low[a:b][shown].min(0), *high[a:b][shown].max(0)
    order = [int(f) for f in np.flatnonzero(~hidden[:ground])]
    depth = np.add.reduceat(corners[:, 2], starts) / np.diff(np.append(starts, len(corners)))
    for i in painters_order([s.extent for s in scenery.solids], boxes, float(scenery.camera.position[0])):
        faces = np.arange(bounds[i], bounds[i + 1])
        if scenery.solids[i].by_depth:
            faces = faces[np.argsort(-depth[faces], kind="stable")]
        order.extend(int(f) for f in faces[~hidden[faces]])
    return order


def _veil(seen: Ints, points: Ints, bounds: tuple[Array, Array], number: int) -> None:
    """Set the label of the samples inside a polygon to face `number`; the visible face stays."""
    x0, y0 = np.maximum(np.floor(bounds[0]).astype(int), 0)
    x1, y1 = np.ceil(bounds[1]).astype(int) + 1
    part = seen[y0:y1, x0:x1]
    if part.size == 0:
        return
    mask = np.zeros(part.shape, np.uint8)
    cv2.fillPoly(mask, [points - np.array([x0, y0], np.int32) * (1 << _SHIFT)], 1, cv2.LINE_8, _SHIFT)
    part[mask > 0] = (part[mask > 0] & _FACE_MASK) | (number << _VEIL_BITS)
