"""Composes a street: ground, buildings and gardens, furniture, traffic, people and the camera."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from pipeline.scenes.world.barriers import build_barrier
from pipeline.scenes.world.buildings import build_backdrop, build_row
from pipeline.scenes.world.camera import Camera
from pipeline.scenes.world.furniture import (
    bollard,
    street_bin,
    street_lamp,
    traffic_light,
    traffic_sign,
    utility_pole,
)
from pipeline.scenes.world.mesh import Scenery
from pipeline.scenes.world.road import build_road
from pipeline.scenes.world.street import Street, sample_street
from pipeline.scenes.world.traffic import build_people, build_traffic
from pipeline.scenes.world.vegetation import build_woods, plant_bush, plant_hedge, plant_tree, sample_green


def sample_camera(rng: Generator, street: Street) -> Camera:
    """A camera at driving height on one of the street's own lanes."""
    lane = int(rng.integers(street.lanes_right))
    u = street.median / 2 + (lane + 0.5) * street.lane + rng.normal(0, 0.3)
    wide = rng.random() < 0.12
    yaw = float(rng.normal(0, 0.16 if wide else 0.035)) + street.heading(6.0)
    height = float(np.clip(rng.normal(1.4, 0.18), 1.05, 2.3))
    return Camera.looking(
        (float(u), height, 0.0),
        yaw,
        float(rng.normal(-0.035, 0.02)) + street.grade,
        float(rng.normal(0, 0.008)),
        float(rng.uniform(0.82, 1.2)),
        float(rng.uniform(0.43, 0.57)),
    )


def _line_side(rng: Generator, scenery: Scenery, sign: int) -> None:
    """Buildings, gardens, parks, walls and fences along one side."""
    street = scenery.street
    side, kerb = street.side(sign)
    edge = kerb + sign * (side.verge + side.pavement + 0.15)
    open_stretches = _stretches(street, sign)
    if side.kind in ("row", "detached", "blocks"):
        build_row(rng, scenery, sign)
    else:
        for a, b in open_stretches:
            for _ in range(int((b - a) / 7)):
                plant_tree(rng, scenery, edge + sign * float(rng.uniform(2.5, 11)), float(rng.uniform(a, b)))
    if side.kind == "wall" or (side.kind == "blocks" and side.setback > 4 and rng.random() < 0.5):
        for a, b in open_stretches:
            build_barrier(rng, scenery, edge, a, b)
    elif side.kind in ("detached", "park"):
        green = sample_green(rng)
        for a, b in open_stretches:
            s = a
            while s < b - 3:
                end = min(s + float(rng.uniform(9, 26)), b)
                choice = rng.random()
                if choice < 0.55:
                    build_barrier(rng, scenery, edge, s, end)
                elif choice < 0.8:
                    plant_hedge(rng, scenery, edge + sign * 0.4, s, end, float(rng.uniform(0.7, 1.9)), 0.7, green)
                for _ in range(int(rng.poisson(1.2))):
                    plant_bush(rng, scenery, edge + sign * float(rng.uniform(1.0, 2.2)), float(rng.uniform(s, end)))
                s = end + float(rng.uniform(0, 3))
    elif side.setback > 2:
        for a, b in open_stretches:
            for _ in range(int(rng.poisson((b - a) / 16))):
                plant_bush(
                    rng,
                    scenery,
                    edge + sign * float(rng.uniform(0.4, side.setback - 1)),
                    float(rng.uniform(a, b)),
                )


def _stretches(street: Street, sign: int) -> list[tuple[float, float]]:
    """Parts of a side that no side street cuts, up to 110 m ahead."""
    stretches, start = [], -2.0
    for junction in street.junctions:
        if junction.right if sign > 0 else junction.left:
            stretches.append((start, junction.s0 - 2.4))
            start = junction.s1 + 2.4
    stretches.append((start, 110.0))
    return [(a, b) for a, b in stretches if b - a > 3]


def _furnish(rng: Generator, scenery: Scenery) -> None:
    street = scenery.street
    metal = np.array([[0.42, 0.43, 0.44], [0.2, 0.22, 0.23], [0.5, 0.51, 0.52], [0.15, 0.21, 0.18]], np.float32)[
        rng.integers(4)
    ]
    style, height, spacing = int(rng.integers(3)), float(rng.uniform(6, 9)), float(rng.uniform(18, 32))
    both, shift = rng.random() < 0.5, float(rng.uniform(3, 18))
    for sign in (1, -1) if rng.random() < 0.5 else (-1, 1):
        kerb = street.side(sign)[1]
        for s in np.arange(shift, 130, spacing):
            if street.clear_of_junctions(s, sign):
                _claimed(scenery, kerb + sign * 0.45, s, 0.15)
                street_lamp(scenery, kerb + sign * 0.45, float(s), style, height, metal)
        if not both:
            break
        shift += spacing / 2
    signals = rng.random() < 0.65
    for junction in street.junctions:
        state = int(rng.choice([0, 1, 2], p=[0.45, 0.1, 0.45]))
        if signals and junction.s0 > 8:
            for sign in (1, -1):
                kerb = street.side(sign)[1]
                traffic_light(
                    rng,
                    scenery,
                    kerb + sign * 0.5,
                    junction.s0 - 1.2,
                    sign > 0 or rng.random() < 0.5,
                    state,
                    metal,
                )
                if rng.random() < 0.6:
                    traffic_light(rng, scenery, kerb + sign * 0.5, junction.s1 + 1.2, rng.random() < 0.6, state, metal)
    for sign in (-1, 1):
        side, kerb = street.side(sign)
        for _ in range(int(rng.poisson(3.2))):
            s = float(rng.uniform(7, 70))
            if street.clear_of_junctions(s, sign) and _claimed(scenery, kerb + sign * 0.4, s, 0.2):
                traffic_sign(rng, scenery, kerb + sign * 0.4, s, rng.random() < (0.85 if sign > 0 else 0.45), metal)
        if rng.random() < 0.22:
            start, count = float(rng.uniform(4, 30)), int(rng.integers(4, 16))
            for s in start + 1.6 * np.arange(count):
                if street.clear_of_junctions(s, sign) and _claimed(scenery, kerb + sign * 0.35, s, 0.1):
                    bollard(scenery, kerb + sign * 0.35, float(s), metal)
        if rng.random() < 0.2:
            for s in np.arange(float(rng.uniform(6, 25)), 120, 34):
                if street.clear_of_junctions(s, sign):
                    utility_pole(scenery, kerb + sign * 0.7, float(s))
        for _ in range(int(rng.poisson(0.7))):
            s, u = float(rng.uniform(6, 45)), kerb + sign * (side.verge + side.pavement - 0.4)
            if street.clear_of_junctions(s, sign) and _claimed(scenery, u, s, 0.5):
                street_bin(rng, scenery, u, s)
        if side.verge > 0 or rng.random() < 0.42:
            gap, at = float(rng.uniform(7, 18)), kerb + sign * (0.5 * side.verge if side.verge else 0.75)
            scale = float(rng.uniform(0.6, 1.0))
            for s in np.arange(float(rng.uniform(4, 16)), 110, gap):
                if street.clear_of_junctions(s, sign, 3) and rng.random() < 0.85 and _claimed(scenery, at, s, 0.3):
                    plant_tree(rng, scenery, at, float(s), scale, pruned=True)
    if street.median and rng.random() < 0.5:
        for s in np.arange(float(rng.uniform(8, 20)), 110, 14.0):
            if street.clear_of_junctions(s, 1, 3) and street.clear_of_junctions(s, -1, 3):
                plant_tree(rng, scenery, 0.0, float(s), 0.75, pruned=True)


def _claimed(scenery: Scenery, u: float, s: float, half: float) -> bool:
    return scenery.claim(u - half, u + half, s - half, s + half)


def build_scenery(rng: Generator) -> Scenery:
    """A random street with everything in it, independent of light and image size."""
    street = sample_street(rng)
    scenery = Scenery(street, sample_camera(rng, street))
    build_road(rng, scenery)
    build_woods(rng, scenery)
    build_backdrop(rng, scenery)
    for sign in (-1, 1):
        _line_side(rng, scenery, sign)
    _furnish(rng, scenery)
    build_traffic(rng, scenery)
    build_people(rng, scenery)
    return scenery
