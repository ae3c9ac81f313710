"""The random choices of a training step: components to use, and captions to leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from augment.lumen.training.objective_options import DEFAULT_OBJECTIVE, ObjectiveOptions
from augment.lumen.training.trainer import log_uniform_int

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MOST_REGIONS = 4


def sample_k(
    generator: np.random.Generator,
    num_components: int,
    options: ObjectiveOptions = DEFAULT_OBJECTIVE,
    *,
    ordered: bool = True,
) -> int:
    """Sample a number of components to train on: sometimes 0, often all, else log-uniform in 1..`num_components`.

    Of components that have no order, 0 or all.
    """
    choice = generator.random()
    if choice < options.layout_dropout:
        return 0
    if not ordered or choice < options.layout_dropout + options.all_components:
        return num_components
    return log_uniform_int(generator, 1, num_components)


def components_used(
    generator: np.random.Generator,
    ks: Sequence[int],
    shape: tuple[int, ...],
    share: float,
    options: ObjectiveOptions = DEFAULT_OBJECTIVE,
    *,
    ordered: bool = True,
) -> NDArray[np.int64]:
    """The ks `int64 [B]`; or `int64 [B, h, w]`, if a share of the samples has rectangles with a k of their own.

    There are one to four rectangles, which may overlap; all other cells have the k of the sample.

    Args:
        generator: of random numbers.
        ks: of the samples.
        shape: of their layouts, (K, h, w).
        share: 0..1.
        options: shares of the ks.
        ordered: see `sample_k`.
    """
    if not share:
        return np.array(ks, np.int64)
    components, *grid = shape
    used = np.empty((len(ks), *grid), np.int64)
    for cells, k in zip(used, ks, strict=True):
        cells[:] = k
        count = int(generator.integers(1, MOST_REGIONS + 1)) if generator.random() < share else 0
        for _ in range(count):
            (top, bottom), (left, right) = (np.sort(generator.integers(0, side + 1, size=2)) for side in grid)
            cells[top:bottom, left:right] = sample_k(generator, components, options, ordered=ordered)
    return used


def drop_captions(
    captions: Sequence[str],
    ks: Sequence[int],
    generator: np.random.Generator,
    options: ObjectiveOptions = DEFAULT_OBJECTIVE,
) -> list[str]:
    """Empty some captions, most of those without a layout: guidance compares with a sample that has neither.

    All four cases occur, with and without a layout and a caption, so guidance by the one is separable from guidance by
    the other.
    """
    return [
        "" if generator.random() < (options.text_dropout if k else options.text_dropout_without_layout) else caption
        for caption, k in zip(captions, ks, strict=True)
    ]
