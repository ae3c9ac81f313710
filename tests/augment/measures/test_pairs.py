"""Measures of pairs of images: their patches, edges and depth."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from augment.errors import NotFinite
from augment.measures.patches import patch_distance, patch_diversity
from augment.measures.structure import depth_error, edge_agreement, edge_map


def test_patch_distance_is_that_of_directions() -> None:
    east, north = torch.zeros(2, 3, 4), torch.zeros(2, 3, 4)
    east[0], north[1] = 5, 0.1
    assert patch_distance(east, east * 7) == pytest.approx(0, abs=1e-12)
    assert patch_distance(east, north) == pytest.approx(1)
    assert patch_distance(east, -east) == pytest.approx(2)
    half = torch.cat([east[:, :, :2], north[:, :, 2:]], dim=2)
    assert patch_diversity(torch.stack([east, north, half])) == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_one_image_has_no_diversity_and_broken_features_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        patch_diversity(torch.ones(1, 2, 3, 4))
    with pytest.raises(NotFinite, match="features"):
        patch_distance(torch.ones(2, 3, 4), torch.full((2, 3, 4), float("nan")))
    with pytest.raises(ValueError, match="shapes"):
        patch_distance(torch.ones(2, 3, 4), torch.ones(2, 3, 5))


def test_edges_agree_within_the_tolerance_and_not_farther() -> None:
    edges = np.zeros((32, 48), bool)
    edges[:, 20] = True
    assert edge_agreement(edges, edges) == 1
    assert edge_agreement(edges, np.roll(edges, 2, axis=1)) == 1
    assert edge_agreement(edges, np.roll(edges, 3, axis=1)) == 0
    twice = edges | np.roll(edges, 10, axis=1)
    # All edges of the one, half of those of the other.
    assert edge_agreement(edges, twice) == edge_agreement(twice, edges) == pytest.approx(2 * 0.5 / 1.5)


def test_images_without_edges_have_no_agreement_and_one_without_has_none_of_it() -> None:
    flat, drawn = np.full((32, 48, 3), 90, np.uint8), np.zeros((32, 48, 3), np.uint8)
    cv2.rectangle(drawn, (10, 10), (30, 25), (255, 255, 255), -1)
    assert edge_map(drawn).any()
    assert edge_agreement(edge_map(flat), edge_map(flat)) is None
    assert edge_agreement(edge_map(flat), edge_map(drawn)) == 0


def test_depth_agrees_whatever_its_shift_and_scale() -> None:
    rng = np.random.default_rng(0)
    depth = rng.normal(size=(24, 32)).astype(np.float32)
    assert depth_error(depth, 3 * depth + 7) == pytest.approx(0, abs=1e-5)
    assert depth_error(depth, -depth) == pytest.approx(2, abs=1e-5)
    assert 0.5 < depth_error(depth, rng.normal(size=(24, 32)).astype(np.float32)) < 2
    with pytest.raises(NotFinite, match="depths"):
        depth_error(depth, np.where(depth > 1, np.float32("inf"), depth))
