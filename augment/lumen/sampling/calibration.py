"""Finding the cheapest way to sample whose images differ little enough from those of the exact one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from augment.lumen.sampling.options import NO_GUIDANCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from augment.lumen.sampling.options import SamplerOptions

    Paint = Callable[[SamplerOptions], Sequence[NDArray[np.uint8]]]
    """Paints the images of the calibration with some options."""

Result = TypeVar("Result")

# Steps that each run of the adapter, and of the deep blocks, serves.
REUSE = ((1, 1), (2, 1), (3, 1), (2, 2), (3, 3), (4, 4), (5, 5))
# Where guidance ends, on the way from noise (0) to image (1).
GUIDANCE_ENDS = (1.0, 0.75, 0.5)
# Of one pass of the U-Net of Stable Diffusion 1.5: see benchmarks/reuse.py. They order what is tried.
SHALLOW, ADAPTER = 0.44, 0.34
# Standard errors of the mean loss that are added to it.
MARGIN = 2.0


@dataclass(frozen=True)
class Measured:
    """How a way to sample has done.

    Attributes:
        options: the way.
        loss: see `loss_of`.
        seconds: for an image.
    """

    options: SamplerOptions
    loss: float
    seconds: float


def trials(paint: Paint, exact: SamplerOptions, max_loss: float, *, has_blocks: bool, seconds: float) -> list[Measured]:
    """Ways to sample that were tried: first the exact one, then those with a loss of at most `max_loss`.

    The candidates are in the order of their work, and the loss grows as it shrinks, so that a few trials find the
    cheapest one.

    Args:
        paint: paints some images of the run.
        exact: the options to compare with.
        max_loss: in grey levels, 0..255.
        has_blocks: whether the base has deep blocks to reuse.
        seconds: after which no trial begins.
    """
    started = time.monotonic()
    expected, needed = timed(partial(paint, exact))
    found = [Measured(exact, 0.0, needed / len(expected))]
    ways = sorted(_ways(exact, has_blocks=has_blocks), key=work, reverse=True)
    low, high = 0, len(ways)
    while low < high and time.monotonic() - started < seconds:
        middle = (low + high) // 2
        way = ways[middle]
        images, needed = timed(partial(paint, way))
        loss = loss_of(images, expected)
        if loss > max_loss:
            high = middle
        else:
            low = middle + 1
            found.append(Measured(way, loss, needed / len(images)))
    return found


def timed(function: Callable[[], Result]) -> tuple[Result, float]:
    """The result of a function, and the seconds that it took."""
    started = time.monotonic()
    result = function()
    return result, time.monotonic() - started


def loss_of(images: Sequence[NDArray[np.uint8]], expected: Sequence[NDArray[np.uint8]]) -> float:
    """The mean absolute difference of two sets of images in grey levels, and `MARGIN` standard errors of it."""
    each = [np.abs(one.astype(np.int16) - other).mean() for one, other in zip(images, expected, strict=True)]
    spread = np.std(each, ddof=1) / np.sqrt(len(each)) if len(each) > 1 else 0.0
    return float(np.mean(each) + MARGIN * spread)


def work(options: SamplerOptions) -> float:
    """Passes of a U-Net that an image takes, about."""
    last = options.guidance_interval[1] if options.guidance_scale != NO_GUIDANCE else 0
    total = 0.0
    for step in range(options.num_steps):
        branches = 2 if step < last * options.num_steps else 1
        total += branches * (SHALLOW if step % options.reuse_blocks else 1)
        total += 0 if step % options.reuse_adapter else ADAPTER
    return total


def _ways(exact: SamplerOptions, *, has_blocks: bool) -> Iterator[SamplerOptions]:
    """The options with more reuse, and guidance on a shorter interval."""
    begin, end = exact.guidance_interval
    reuse = REUSE[:1] if exact.records_graphs else REUSE
    ends = [end, *(one for one in GUIDANCE_ENDS if begin < one < end and exact.guidance_scale != NO_GUIDANCE)]
    for (adapter, blocks), last in product(reuse, ends):
        changed = {
            "reuse_adapter": max(adapter, exact.reuse_adapter),
            "reuse_blocks": max(blocks, exact.reuse_blocks) if has_blocks else exact.reuse_blocks,
            "guidance_interval": (begin, last),
        }
        way = exact.model_copy(update=changed)
        if way != exact and max(way.reuse_adapter, way.reuse_blocks) <= exact.num_steps:
            yield way
