"""People: jointed figures that walk, stand or ride, with clothes, hair and bags."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from pipeline.scenes.world.arrays import Array
from pipeline.scenes.world.labels import LabelId
from pipeline.scenes.world.mesh import Faces, Scenery, make_faces
from pipeline.scenes.world.shapes import capsules

_SKIN = np.array([[0.86, 0.66, 0.54], [0.78, 0.57, 0.44], [0.6, 0.42, 0.31], [0.38, 0.26, 0.2], [0.9, 0.72, 0.62]])
_HAIR = np.array([[0.12, 0.09, 0.07], [0.3, 0.2, 0.12], [0.6, 0.47, 0.28], [0.55, 0.54, 0.52], [0.08, 0.07, 0.07]])
_TOPS = np.array(
    [
        [0.12, 0.13, 0.17],
        [0.2, 0.24, 0.34],
        [0.5, 0.12, 0.12],
        [0.75, 0.74, 0.7],
        [0.3, 0.32, 0.28],
        [0.55, 0.45, 0.32],
        [0.16, 0.32, 0.5],
        [0.8, 0.62, 0.2],
        [0.35, 0.18, 0.32],
        [0.4, 0.42, 0.45],
        [0.85, 0.85, 0.88],
        [0.2, 0.4, 0.3],
    ]
)
_LEGS = np.array(
    [
        [0.14, 0.18, 0.3],
        [0.1, 0.1, 0.11],
        [0.3, 0.34, 0.42],
        [0.5, 0.44, 0.34],
        [0.25, 0.22, 0.2],
        [0.6, 0.58, 0.54],
    ]
)


class _Figure:
    """Collects tapering limbs with their colours, in the figure's own metres (facing +z)."""

    def __init__(self) -> None:
        self.a: list[Array] = []
        self.b: list[Array] = []
        self.ra: list[float] = []
        self.rb: list[float] = []
        self.colors: list[Array] = []

    def limb(self, a: Array, b: Array, ra: float, rb: float, color: Array) -> None:
        """A rounded bar from a to b."""
        self.a.append(a)
        self.b.append(b)
        self.ra.append(ra)
        self.rb.append(rb)
        self.colors.append(color)

    def chain(self, points: list[Array], radii: list[float], colors: list[Array]) -> None:
        """Bars from each point to the next."""
        for i, color in enumerate(colors):
            self.limb(points[i], points[i + 1], radii[i], radii[i + 1], color)

    def faces(
        self, scenery: Scenery, u: float, s: float, base: float, turn: float, label: LabelId, instance: int
    ) -> list[Faces]:
        """The figure placed in the street: each limb with a lit and a shaded half."""
        place = scenery.street.place
        a, b = place(np.array(self.a), u, s, base, turn), place(np.array(self.b), u, s, base, turn)
        ra, rb = np.array(self.ra, np.float32), np.array(self.rb, np.float32)
        eye, color = scenery.camera.position, np.array(self.colors, np.float32)
        order = np.argsort(-np.linalg.norm(0.5 * (a + b) - eye, axis=1), kind="stable")
        shift = np.stack([-0.3 * ra, 0.1 * ra, np.zeros_like(ra)], 1)
        # Every limb twice: whole, and narrower towards the light.
        pairs = ((a, a + shift), (b, b + shift), (ra, 0.62 * ra), (rb, 0.62 * rb))
        doubled = [np.stack([v[order], w[order]], axis=1).reshape(-1, *v.shape[1:]) for v, w in pairs]
        outlines = capsules(doubled[0], doubled[1], doubled[2], doubled[3], eye)
        tones = np.stack([color * 0.8, np.minimum(color * 1.1, 1)], axis=1)[order].reshape(-1, 3)
        towards = eye - a.mean(0)
        towards = towards / np.linalg.norm(towards)
        side = towards + np.array([[0.35, -0.1, 0], [-0.35, 0.45, 0]], np.float32)
        side /= np.linalg.norm(side, axis=1, keepdims=True)
        normals = np.tile(side, (len(order), 1))
        return [make_faces(outlines, tones, label, instance=instance, tile="cloth", metres=0.35, normals=normals)]


def _vector(x: float, y: float, z: float) -> Array:
    return np.array([x, y, z], np.float32)


def _dress(rng: Generator) -> tuple[Array, Array, Array, Array, Array]:
    """Colours of skin, hair, top, legs and shoes."""
    skin, hair, top, legs = (p[rng.integers(len(p))] * rng.uniform(0.85, 1.12) for p in (_SKIN, _HAIR, _TOPS, _LEGS))
    shoes = np.full(3, 0.1) if rng.random() < 0.7 else np.full(3, 0.7)
    return skin, hair, top, legs, shoes


def _head(figure: _Figure, rng: Generator, neck: Array, skin: Array, hair: Array, helmet: Array | None) -> None:
    crown = neck + _vector(0, 0.2, 0.02)
    figure.limb(neck - _vector(0, 0.05, 0), neck + _vector(0, 0.06, 0), 0.05, 0.05, skin * 0.85)
    if helmet is not None:
        figure.limb(crown - _vector(0, 0.04, 0), crown + _vector(0, 0.02, 0), 0.1, 0.1, skin)
        figure.limb(crown + _vector(0, 0.05, -0.03), crown + _vector(0, 0.07, 0.02), 0.125, 0.115, helmet)
        return
    long = rng.random() < 0.4
    fall = 0.18 if long else 0.02
    figure.limb(crown + _vector(0, 0.04, -0.05), crown + _vector(0, 0.02 - fall, -0.06), 0.11, 0.09, hair)
    figure.limb(crown + _vector(0, 0.02, 0.02), crown - _vector(0, 0.06, -0.02), 0.095, 0.075, skin)
    figure.limb(crown + _vector(0, 0.075, 0.0), crown + _vector(0, 0.085, -0.02), 0.085, 0.085, hair)


def build_person(rng: Generator, scenery: Scenery, u: float, s: float, base: float, turn: float, walking: bool) -> None:
    """A person standing or walking at (u, s), facing `turn` (0 away from the camera)."""
    figure = _Figure()
    skin, hair, top, legs, shoes = _dress(rng)
    size = float(np.clip(rng.normal(1.0, 0.055), 0.88, 1.13)) * (0.68 if rng.random() < 0.08 else 1.0)
    phase = float(rng.uniform(0, 2 * np.pi))
    swing = 0.42 * np.sin(phase) if walking else float(rng.normal(0, 0.05))
    build = float(rng.uniform(0.88, 1.2))
    hip, chest, neck = 0.92, 1.36, 1.5
    coat = rng.random() < 0.3
    skirt = not coat and rng.random() < 0.18
    sleeve = skin if rng.random() < 0.25 else top
    lean = 0.04 if walking else 0.0
    for sign, forward in ((-1, swing), (1, -swing)):
        lift = max(0.0, -forward) * 0.45
        pelvis = _vector(sign * 0.09 * build, hip, 0)
        knee = pelvis + _vector(0.01 * sign, -0.44 * np.cos(forward), 0.44 * np.sin(forward) + 0.02)
        ankle = knee + _vector(0, -0.43 * np.cos(forward - lift), 0.43 * np.sin(forward - lift))
        shin = skin if skirt else legs
        figure.chain([pelvis, knee, ankle], [0.1 * build, 0.07 * build, 0.05], [legs, shin])
        figure.limb(ankle - _vector(0, 0.02, 0.02), ankle + _vector(0, -0.04, 0.15), 0.05, 0.04, shoes)
        shoulder = _vector(sign * 0.2 * build, chest + 0.04, lean)
        bend = 0.25 if walking else 0.12
        elbow = shoulder + _vector(0.05 * sign, -0.29 * np.cos(forward), -0.29 * np.sin(forward))
        hand = elbow + _vector(0.0, -0.26 * np.cos(forward - bend), -0.26 * np.sin(forward - bend))
        figure.chain([shoulder, elbow, hand], [0.062 * build, 0.05, 0.04], [top * 0.93, sleeve])
        figure.limb(hand, hand - _vector(0, 0.06, 0), 0.04, 0.035, skin)
    waist = _vector(0, 1.1, lean / 2)
    hem = _vector(0, 0.55 if coat else 0.68, 0)
    if coat or skirt:
        figure.limb(waist, hem, 0.15 * build, (0.2 if coat else 0.22) * build, top if coat else legs)
    figure.limb(_vector(0, hip + 0.04, 0), waist, 0.155 * build, 0.15 * build, legs if not coat else top)
    figure.limb(waist, _vector(0, chest, lean), 0.15 * build, 0.185 * build, top)
    _head(figure, rng, _vector(0, neck, lean), skin, hair, None)
    carried = rng.random()
    bag = np.array([[0.15, 0.12, 0.1], [0.45, 0.3, 0.18], [0.2, 0.25, 0.35], [0.6, 0.15, 0.15]])[rng.integers(4)]
    if carried < 0.22:
        figure.limb(_vector(0, 1.32, -0.2), _vector(0, 1.08, -0.22), 0.13, 0.15, bag)
    elif carried < 0.42:
        figure.limb(_vector(0.32, 0.72, 0), _vector(0.32, 0.55, 0), 0.1, 0.13, bag)
    for part in (figure.a, figure.b):
        part[:] = [p * size for p in part]
    figure.ra, figure.rb = [r * size for r in figure.ra], [r * size for r in figure.rb]
    instance = scenery.new_instance(LabelId.PERSON)
    faces = figure.faces(scenery, u, s, base, turn, LabelId.PERSON, instance)
    scenery.add((u - 0.25, u + 0.25, s - 0.25, s + 0.25), faces)


def rider_faces(
    rng: Generator,
    scenery: Scenery,
    u: float,
    s: float,
    turn: float,
    seat: tuple[float, float],
    grip: tuple[float, float],
    pedal: tuple[float, float],
    motor: bool,
) -> list[Faces]:
    """A rider on a two-wheeler; seat, grip and pedal are (z, y) in the machine's own metres."""
    figure = _Figure()
    skin, hair, top, legs, shoes = _dress(rng)
    helmet = np.array([[0.85, 0.85, 0.85], [0.1, 0.1, 0.1], [0.7, 0.12, 0.1], [0.15, 0.3, 0.6]])[rng.integers(4)]
    hip = _vector(0, seat[1] + 0.08, seat[0])
    lean = 0.22 if motor else float(rng.uniform(0.12, 0.38))
    chest = hip + _vector(0, 0.45, lean)
    phase = float(rng.uniform(0, 2 * np.pi))
    for sign in (-1, 1):
        turnover = 0.0 if motor else 0.16
        foot = _vector(
            sign * 0.12,
            pedal[1] + sign * turnover * np.sin(phase),
            pedal[0] + sign * turnover * np.cos(phase),
        )
        knee = 0.5 * (hip + foot) + _vector(sign * 0.1, 0.12, 0.2)
        figure.chain([hip + _vector(sign * 0.1, 0, 0), knee, foot], [0.1, 0.075, 0.05], [legs, legs * 0.95])
        figure.limb(foot, foot + _vector(0, -0.03, 0.15), 0.05, 0.04, shoes)
        hand = _vector(sign * 0.26, grip[1], grip[0])
        shoulder = chest + _vector(sign * 0.19, 0.02, 0)
        elbow = 0.5 * (shoulder + hand) + _vector(sign * 0.07, -0.08, 0)
        figure.chain([shoulder, elbow, hand], [0.065, 0.05, 0.04], [top * 0.93, top])
    figure.limb(hip, chest, 0.16, 0.185, top)
    _head(
        figure,
        rng,
        chest + _vector(0, 0.16, 0.05),
        skin,
        hair,
        helmet if motor or rng.random() < 0.55 else None,
    )
    return figure.faces(scenery, u, s, 0.0, turn, LabelId.RIDER, scenery.new_instance(LabelId.RIDER))
