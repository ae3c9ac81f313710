"""Views: the layouts of photometric copies of an image, for trainings whose target stays the image itself.

A layout keeps some of the colours and the light of its image, and an adapter that can read them there copies them. The
layout of a copy with other colours and other light does not show them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from augment.layouts.changes import photometric_copies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    LayoutsOf = Callable[[NDArray[np.uint8]], NDArray[np.float16]]


def view_layouts(
    images: NDArray[np.uint8], seeds: Sequence[Sequence[int]], layouts_of: LayoutsOf, threads: int = 1
) -> NDArray[np.float16]:
    """Extract the layouts of V photometric copies of each image of a batch.

    Args:
        images: `uint8 [B, H, W, 3]`, B of 1 or more.
        seeds: B rows of V seeds in 0..2**63 - 1; a copy depends on its image and its seed alone.
        layouts_of: gives the layouts `float16 [B, K, h, w]` of images `uint8 [B, H, W, 3]`.
        threads: how many copies are made at once, while `layouts_of` works on others.

    Returns:
        `float16 [B, V, K, h, w]`.
    """
    return np.stack([layouts_of(copies) for copies in photometric_copies(images, seeds, threads)], axis=1)


def choose_views(count: int, views: int, share: float, generator: np.random.Generator) -> list[int | None]:
    """Choose the layout that each of `count` training samples is shown with.

    Args:
        count: number of samples.
        views: views that each sample has, 1 or more if `share` is above 0.
        share: probability (0..1) of a view; with 0 no random number is taken from the generator.
        generator: source of randomness.

    Returns:
        The number of a view, 0..`views` - 1, or None for the layout of the image itself.
    """
    if share == 0:
        return [None] * count
    return [int(generator.integers(views)) if generator.random() < share else None for _ in range(count)]
