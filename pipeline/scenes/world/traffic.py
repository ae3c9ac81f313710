"""Puts vehicles on the lanes and people on the pavements."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from pipeline.scenes.world.cars import build_car
from pipeline.scenes.world.cycles import build_cycle
from pipeline.scenes.world.heavy import build_heavy, heavy_length
from pipeline.scenes.world.labels import LabelId
from pipeline.scenes.world.mesh import Scenery
from pipeline.scenes.world.people import build_person
from pipeline.scenes.world.street import KERB

_FARTHEST = 120.0


def _drive(rng: Generator, scenery: Scenery, u: float, start: float, turn: float, gap: float, tram: bool) -> None:
    """Vehicles one behind the other on the lane about u."""
    s = start + float(rng.exponential(0.6 * gap))
    while s < _FARTHEST:
        kind = rng.random()
        label = LabelId.CAR
        if tram and kind < 0.2:
            label = LabelId.TRAIN
        elif kind > 0.92:
            label = LabelId.BUS
        elif kind > 0.85:
            label = LabelId.TRUCK
        elif kind > 0.81:
            label = LabelId.MOTORCYCLE
        elif kind > 0.77:
            label = LabelId.BICYCLE
        length = {LabelId.CAR: 5.0, LabelId.MOTORCYCLE: 2.4, LabelId.BICYCLE: 2.2}.get(label) or heavy_length(label)
        offset = float(rng.normal(0, 0.15))
        middle = s + length / 2
        if scenery.claim(u - 1.0, u + 1.0, s, s + length):
            if label == LabelId.CAR:
                build_car(rng, scenery, u + offset, middle, turn + float(rng.normal(0, 0.02)), driving=True)
            elif label in (LabelId.MOTORCYCLE, LabelId.BICYCLE):
                build_cycle(rng, scenery, label, u + 3 * offset, middle, 0.0, turn, ridden=True)
            else:
                build_heavy(rng, scenery, label, u, middle, turn)
        s += length + 2.0 + float(rng.exponential(gap))


def _park(rng: Generator, scenery: Scenery, sign: int, density: float) -> None:
    street = scenery.street
    depth = street.parking_right if sign > 0 else street.parking_left
    if depth < 1:
        return
    _, kerb = street.side(sign)
    u = kerb - sign * (depth / 2 - 0.05)
    if sign > 0:
        u -= street.cycle_lane
    s = float(rng.uniform(0.0, 5.0))
    while s < _FARTHEST:
        length = 5.3
        near_zebra = any(z - 2 < s + length and s < z + 5 for z in street.zebras)
        if rng.random() < density and street.clear_of_junctions(s + length / 2, sign, 7) and not near_zebra:
            turn = 0.0 if (sign > 0) == (rng.random() < 0.92) else np.pi
            if rng.random() < 0.05 and s > 6:
                length = heavy_length(LabelId.TRUCK) + 0.5
                if scenery.claim(u - 0.9, u + 0.9, s, s + length):
                    build_heavy(rng, scenery, LabelId.TRUCK, u - sign * 0.1, s + length / 2, turn)
            elif scenery.claim(u - 0.9, u + 0.9, s + 0.2, s + length):
                build_car(rng, scenery, u, s + length / 2, turn + float(rng.normal(0, 0.02)), driving=False)
        s += length


def build_traffic(rng: Generator, scenery: Scenery) -> None:
    """Moving and parked vehicles, and riders at the kerb."""
    street = scenery.street
    own = float(scenery.camera.position[0])
    gap = float(rng.choice([7.0, 16.0, 38.0, 90.0]))
    for sign, lanes in ((1, street.lanes_right), (-1, street.lanes_left)):
        turn = 0.0 if sign > 0 else np.pi
        for i in range(lanes):
            u = sign * (street.median / 2 + (i + 0.5) * street.lane)
            ahead = abs(u - own) < 1.5
            start = float(rng.uniform(7, 18)) if ahead else float(rng.uniform(1.5, 10))
            _drive(rng, scenery, u, start, turn, gap * float(rng.uniform(0.6, 1.5)), street.tram and i == 0)
    for sign in (-1, 1):
        _park(rng, scenery, sign, float(rng.choice([0.3, 0.65, 0.92])))
    for _ in range(int(rng.poisson(1.1))):
        sign = 1 if rng.random() < 0.7 else -1
        kerb = street.side(sign)[1]
        depth = (street.parking_right if sign > 0 else street.parking_left) + (street.cycle_lane if sign > 0 else 0)
        u, s = kerb - sign * (max(depth, 0.3) + 0.5 if depth < 3 else 0.9), float(rng.uniform(6, 40))
        if scenery.claim(u - 0.35, u + 0.35, s - 1, s + 1):
            build_cycle(rng, scenery, LabelId.BICYCLE, u, s, 0.0, 0.0 if sign > 0 else np.pi, ridden=True)
    for junction in street.junctions:
        if rng.random() < 0.4 and junction.s0 > 10:
            u = float(rng.uniform(street.edge_left - 8, street.edge_right + 8))
            s = 0.5 * (junction.s0 + junction.s1) + float(rng.uniform(-1.5, 1.5))
            if scenery.claim(u - 2.6, u + 2.6, s - 1, s + 1):
                build_car(rng, scenery, u, s, np.pi / 2 if s > junction.s0 + 3 else -np.pi / 2, driving=True)


def build_people(rng: Generator, scenery: Scenery) -> None:
    """Walkers and groups on the pavements, people on crossings, parked two-wheelers."""
    street = scenery.street
    crowd = float(rng.choice([2.0, 7.0, 16.0]))
    for sign in (-1, 1):
        side, kerb = street.side(sign)
        for _ in range(int(rng.poisson(crowd))):
            s = 4.0 + 62.0 * float(rng.uniform(0, 1)) ** 1.3
            if not street.clear_of_junctions(s, sign, 0.5):
                continue
            u = kerb + sign * float(rng.uniform(side.verge + 0.4, side.verge + side.pavement - 0.3))
            walking = rng.random() < 0.75
            along = 0.0 if rng.random() < 0.5 else np.pi
            turn = along + float(rng.normal(0, 0.15)) if walking else float(rng.uniform(0, 2 * np.pi))
            for k in range(int(rng.choice([1, 2, 3], p=[0.68, 0.26, 0.06]))):
                v = u - sign * 0.62 * k
                if scenery.claim(v - 0.25, v + 0.25, s - 0.25, s + 0.25):
                    build_person(rng, scenery, v, s + 0.1 * k, KERB, turn, walking)
        for _ in range(int(rng.poisson(1.2))):
            s, u = float(rng.uniform(5, 40)), kerb + sign * (side.verge + 0.7)
            if not street.clear_of_junctions(s, sign, 3):
                continue
            label = LabelId.BICYCLE if rng.random() < 0.66 else LabelId.MOTORCYCLE
            turn = float(rng.choice([np.pi / 2, 0.2, -np.pi / 2]))
            for k in range(int(rng.integers(1, 5)) if label == LabelId.BICYCLE else 1):
                if scenery.claim(u - 0.5, u + 0.5, s + 0.75 * k - 0.3, s + 0.75 * k + 0.3):
                    build_cycle(
                        rng,
                        scenery,
                        label,
                        u,
                        s + 0.75 * k,
                        KERB,
                        turn + float(rng.normal(0, 0.1)),
                        ridden=False,
                    )
    for zebra in street.zebras:
        for _ in range(int(rng.poisson(1.6))):
            u, s = (
                float(rng.uniform(street.edge_left, street.edge_right)),
                zebra + float(rng.uniform(0.4, 2.8)),
            )
            if s > 5 and scenery.claim(u - 0.3, u + 0.3, s - 0.3, s + 0.3):
                build_person(rng, scenery, u, s, 0.0, float(rng.choice([-1, 1])) * np.pi / 2, walking=True)
    if rng.random() < 0.3:
        u, s = float(rng.uniform(street.edge_left + 1, street.edge_right - 1)), float(rng.uniform(9, 35))
        if scenery.claim(u - 0.3, u + 0.3, s - 0.3, s + 0.3):
            build_person(rng, scenery, u, s, 0.0, float(rng.choice([-1, 1])) * np.pi / 2, walking=True)
