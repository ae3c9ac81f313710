"""Large images in tiles: every cell counts once, one tile is no tile, and what agrees stays as it is."""

from __future__ import annotations

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from augment.lumen.sampling.tiling import Tiles

SIZES = st.integers(1, 90)


@given(height=SIZES, width=SIZES, tile=st.integers(8, 40), overlap=st.integers(0, 7), factor=st.integers(1, 3))
def test_shares_of_all_tiles_are_one_in_every_cell(
    height: int, width: int, tile: int, overlap: int, factor: int
) -> None:
    tiles = Tiles.over(height, width, tile, overlap)
    total = torch.zeros(height * factor, width * factor)
    for place, weight in zip(tiles.places, tiles.weights(factor), strict=True):
        assert (weight > 0).all()
        total[tiles.window(*place, factor)] += weight
    assert torch.allclose(total, torch.ones(()), atol=1e-6)


@given(size=SIZES, tile=st.integers(8, 40), overlap=st.integers(0, 7))
def test_neighbours_share_the_overlap_and_no_tile_is_too_many(size: int, tile: int, overlap: int) -> None:
    tops = Tiles.over(size, size, tile, overlap).tops
    assert all(0 < right - left <= tile - overlap for left, right in pairwise(tops))
    assert tops[0] == 0
    assert tops[-1] == max(0, size - tile)
    assert (len(tops) - 1) * (tile - overlap) + overlap < max(size, tile + 1)
