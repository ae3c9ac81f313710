"""Geometries of every mode, also of fewer pixels than a configuration allows, and sources for them."""

from __future__ import annotations

from hypothesis import strategies as st

from pipeline.datasets import Geometry, Mode, Resample, Tiles


def geometry_of(
    height: int,
    width: int,
    mode: Mode = "resize",
    resample: Resample = "bilinear",
    smallest: float = 0.5,
    tiles: Tiles | None = None,
) -> Geometry:
    """A geometry whose ranges are not checked: the fewer pixels, the faster a test."""
    return Geometry.model_construct(
        height=height, width=width, mode=mode, resample=resample, smallest=smallest, tiles=tiles
    )


sides = st.integers(1, 40)
working_sides = st.integers(1, 6).map(lambda n: 8 * n)
geometries = st.builds(geometry_of, working_sides, working_sides)
# Large enough for eight tiles of the largest working size.
source_sizes = st.tuples(st.integers(150, 260), st.integers(150, 260))
tiles = st.builds(
    Tiles, rows=st.integers(1, 3), columns=st.integers(1, 3), overlap=st.sampled_from([0.0, 0.1, 0.25, 0.5])
)
resamples = st.sampled_from(["bilinear", "area"])
tilings = st.builds(geometry_of, working_sides, working_sides, st.just("tiles"), resamples, tiles=tiles)
any_geometry = tilings | st.builds(
    geometry_of,
    working_sides,
    working_sides,
    st.sampled_from(["resize", "crop", "random_crop", "letterbox"]),
    resamples,
    st.sampled_from([0.3, 0.5, 1.0]),
)
