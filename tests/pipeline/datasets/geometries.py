"""Geometries of every mode, and sources for them."""

from __future__ import annotations

from hypothesis import strategies as st

from pipeline.datasets import Geometry, Tiles

sides = st.integers(1, 40)
working_sides = st.integers(1, 6).map(lambda n: 8 * n)
geometries = st.builds(Geometry, working_sides, working_sides)
# Large enough for eight tiles of the largest working size.
source_sizes = st.tuples(st.integers(150, 260), st.integers(150, 260))
tiles = st.builds(Tiles, st.integers(1, 3), st.integers(1, 3), st.sampled_from([0.0, 0.1, 0.25, 0.5]))
resamples = st.sampled_from(["bilinear", "area"])
tilings = st.builds(Geometry, working_sides, working_sides, st.just("tiles"), resamples, tiles=tiles)
any_geometry = tilings | st.builds(
    Geometry,
    working_sides,
    working_sides,
    st.sampled_from(["resize", "crop", "random_crop", "letterbox"]),
    resamples,
    st.sampled_from([0.3, 0.5, 1.0]),
)
