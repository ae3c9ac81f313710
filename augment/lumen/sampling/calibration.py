"""Finding the cheapest way to sample that changes the images little enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from augment.lumen.sampling.options import NO_GUIDANCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from augment.lumen.sampling.options import SamplerOptions

    Paint = Callable[[SamplerOptions], Sequence[NDArray[np.uint8]]]
    """Paints the images of the calibration with some options."""

Result = TypeVar("Result")

# The rungs of ladders, from little to much: shares of the steps; steps that each run of the adapter, and of the deep
# blocks, serves; and where guidance ends, on the way from noise (0) to image (1).
SHARES = (5 / 6, 2 / 3, 1 / 2, 5 / 12, 1 / 3)
REUSE = ((2, 1), (2, 2), (3, 3), (4, 4), (5, 5))
GUIDANCE_ENDS = (0.9, 0.75, 0.5)
# What each ladder changes.
LADDERS = (("num_steps",), ("reuse_adapter", "reuse_blocks"), ("guidance_interval",))
# Standard errors of the mean loss that are added to it.
MARGIN = 2.0
# How much of the time a change may still take, to be worth it: two runs of the same differ by a few percent.
FASTER = 0.97


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

    Fewer steps, more reuse and less guidance are each tried alone, by halving its ladder, because loss grows from rung
    to rung. Then the fastest way of these is tried with the lowest rung of each other ladder.

    Args:
        paint: paints some images of the run.
        exact: the options to compare with.
        max_loss: in grey levels, 0..255.
        has_blocks: whether the base has deep blocks to reuse.
        seconds: after which no trial begins.
    """
    started = monotonic()
    expected, needed = timed(partial(paint, exact))
    found = [Measured(exact, 0.0, needed / len(expected))]

    def allows(way: SamplerOptions) -> bool:
        images, needed = timed(partial(paint, way))
        tried = Measured(way, loss_of(images, expected), needed / len(images))
        if tried.loss <= max_loss:
            found.append(tried)
        return tried.loss <= max_loss

    def has_time() -> bool:
        return monotonic() - started < seconds

    for rungs in ladders(exact, has_blocks=has_blocks):
        low, high = 0, len(rungs)
        while low < high and has_time():
            middle = (low + high) // 2
            low, high = (middle + 1, high) if allows(rungs[middle]) else (low, middle)
    for number, names in enumerate(LADDERS):
        best = min(found, key=lambda one: one.seconds).options
        rungs = ladders(best, has_blocks=has_blocks)[number]
        is_there = any(getattr(best, name) != getattr(exact, name) for name in names)
        if rungs and not is_there and has_time():
            allows(rungs[0])
    return found


def best_of(found: Sequence[Measured]) -> Measured:
    """The fastest of the ways that `trials` found, or the exact one where that is hardly slower."""
    best = min(found, key=lambda one: one.seconds)
    return best if best.seconds <= FASTER * found[0].seconds else found[0]


def ladders(options: SamplerOptions, *, has_blocks: bool) -> list[list[SamplerOptions]]:
    """The options with fewer steps, more reuse, and less guidance, each from little to much: see `LADDERS`."""
    count, (begin, end) = options.num_steps, options.guidance_interval
    steps = sorted({max(1, round(share * count)) for share in SHARES} - {count}, reverse=True)
    reuse: list[dict[str, object]] = [
        {"reuse_adapter": adapter, "reuse_blocks": blocks if has_blocks else options.reuse_blocks}
        for adapter, blocks in REUSE
        if adapter > options.reuse_adapter and blocks >= options.reuse_blocks and adapter <= count
    ]
    ends = [one for one in GUIDANCE_ENDS if begin < one < end and options.guidance_scale != NO_GUIDANCE]
    changes: list[list[dict[str, object]]] = [
        [{"num_steps": step} for step in steps],
        [] if options.records_graphs else reuse,
        [{"guidance_interval": (begin, one)} for one in ends],
    ]
    return [[options.model_copy(update=change) for change in rungs] for rungs in changes]


def timed(function: Callable[[], Result]) -> tuple[Result, float]:
    """The result of a function, and the seconds that it took."""
    started = monotonic()
    result = function()
    return result, monotonic() - started


def loss_of(images: Sequence[NDArray[np.uint8]], expected: Sequence[NDArray[np.uint8]]) -> float:
    """The mean absolute difference of two sets of images in grey levels, and `MARGIN` standard errors of it."""
    each = [np.abs(one.astype(np.int16) - other).mean() for one, other in zip(images, expected, strict=True)]
    spread = np.std(each, ddof=1) / np.sqrt(len(each)) if len(each) > 1 else 0.0
    return float(np.mean(each) + MARGIN * spread)
