"""Projection, clipping and painter's order."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.scenes.rendering.painter import painters_order
from pipeline.scenes.world.camera import NEAR, SPREAD, Camera, clip_polygon

ANGLES = st.floats(-0.4, 0.4)


@given(yaw=ANGLES, pitch=ANGLES, roll=ANGLES, size=st.sampled_from([(96, 192), (250, 333)]))
def test_projection_and_rays_are_inverse(yaw: float, pitch: float, roll: float, size: tuple[int, int]) -> None:
    height, width = size
    camera = Camera.looking((1.0, 1.4, 0.0), yaw, pitch, roll, 1.1, 0.45)
    x, y = camera.rays(height, width)
    rows, columns = np.array([0, height // 2, height - 1]), np.array([0, 7, width - 1])
    rays = np.stack([x[columns], y[rows], np.ones(3)], axis=1)
    world = (rays * 12.0) @ camera.rotation + camera.position
    back = camera.project(camera.to_camera(world.astype(np.float32)), height, width)
    np.testing.assert_allclose(back, np.stack([columns + 0.5, rows + 0.5], axis=1), atol=0.05)


def test_yaw_turns_right_and_pitch_up() -> None:
    ahead = np.array([[0.0, 0.0, 10.0]], np.float32)
    turned = Camera.looking((0, 0, 0), 0.1, 0.0, 0.0, 1.0, 0.5).to_camera(ahead)
    raised = Camera.looking((0, 0, 0), 0.0, 0.1, 0.0, 1.0, 0.5).to_camera(ahead)
    assert turned[0, 0] < 0
    assert raised[0, 1] < 0


@settings(max_examples=200)
@given(arrays(np.float32, (5, 3), elements=st.floats(-40, 40, width=32)))
def test_clipped_polygons_are_in_view(points: np.ndarray) -> None:
    clipped = clip_polygon(points)
    if len(clipped):
        x, y, z = clipped.T
        assert z.min() >= NEAR - 1e-3
        assert (np.abs(x) <= SPREAD * z + 1e-2).all()
        assert (np.abs(y) <= SPREAD * z + 1e-2).all()


def test_a_polygon_in_view_is_kept_whole() -> None:
    square = np.array([[-1, -1, 5], [1, -1, 5], [1, 1, 5], [-1, 1, 6]], np.float32)
    np.testing.assert_array_equal(clip_polygon(square), square)


def test_farther_and_outer_solids_are_drawn_first() -> None:
    everywhere = np.tile(np.array([0, 0, 10, 10], np.float32), (4, 1))
    facade, walker, car, distant = (6, 16, 0, 40), (4, 4.5, 20, 20.5), (1, 3, 18, 23), (-1, 1, 60, 64)
    order = painters_order([car, walker, distant, facade], everywhere, 0.0)
    place = {solid: order.index(i) for i, solid in enumerate(("car", "walker", "distant", "facade"))}
    assert place["distant"] < place["facade"] < place["walker"] < place["car"]


@given(st.lists(st.tuples(*[st.floats(-20, 20)] * 2, *[st.floats(0.1, 5)] * 2), max_size=12))
def test_order_holds_every_solid_once(rows: list[tuple[float, float, float, float]]) -> None:
    extents = [(u, u + w, s, s + d) for u, s, w, d in rows]
    boxes = np.tile(np.array([0, 0, 1, 1], np.float32), (len(rows), 1))
    assert sorted(painters_order(extents, boxes, 0.3)) == list(range(len(rows)))
