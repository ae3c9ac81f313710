"""How much images differ in what their patches show."""

from __future__ import annotations

from itertools import combinations

import torch

from augment.errors import require_finite


def patch_distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Mean cosine distance between the features of two images at the same places, 0..2.

    Args:
        first, second: features `float [C, h, w]` of one shape.

    Raises:
        ValueError: the shapes differ.
        NotFinite: a feature is NaN or infinite.
    """
    if first.shape != second.shape:
        raise ValueError(f"features have the shapes {tuple(first.shape)} and {tuple(second.shape)}")
    for features in (first, second):
        require_finite(features, "the features that images are measured by")
    similarity = torch.nn.functional.cosine_similarity(first.double(), second.double(), dim=0)
    return max(float(1 - similarity.mean()), 0.0)


def patch_diversity(features: torch.Tensor) -> float:
    """Mean patch distance between every two of several images.

    Args:
        features: `float [N, C, h, w]` with N >= 2.

    Raises:
        ValueError: there are fewer than two images.
    """
    if len(features) < 2:
        raise ValueError(f"a diversity needs at least 2 images, got {len(features)}")
    pairs = list(combinations(features, 2))
    return sum(patch_distance(first, second) for first, second in pairs) / len(pairs)
