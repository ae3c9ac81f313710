"""Recognising that memory, mostly of a GPU, ran out, and smaller batches as the first remedy."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from augment.errors import UserError
from pipeline.engine.progress import remark

T = TypeVar("T")
R = TypeVar("R")

# Of torch on CUDA, ROCm, MPS and CPU, and of the libraries that it calls.
_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory|_ALLOC_FAILED", re.IGNORECASE)

# The key of a training's batch size: not a setting of the workers, because the result depends on it.
_TRAINING_BATCHES = {"adapt": "adapt.batch_size", **dict.fromkeys(("judge", "compare"), "downstream.batch_size")}
# What else makes a stage take less memory.
_SMALLER = {
    "generate": "lower generator.fixed_batch if it is set, or set generator.tile, so that large images are painted in "
    "tiles"
}
# The key of the model that a stage loads.
_MODELS = {
    **dict.fromkeys(("fit", "extract"), "backbone.name"),
    "caption": "captions.model",
    **dict.fromkeys(("encode", "adapt", "generate"), "generator.base"),
    **dict.fromkeys(("judge", "curate", "compare", "evaluate"), "downstream.model"),
}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of an accelerator or of the machine; a smaller batch may then fit."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"OutOfMemoryError", "MemoryError"}:
        return True
    return isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None


def does_not_fit(stage: str, what: str, error: BaseException, *, batched: bool = True) -> UserError:
    """The error to raise where nothing smaller is left to try: what does not fit, why, and the remedies.

    Args:
        stage: its name.
        what: the thing that does not fit, such as "its model".
        error: the one that reported it.
        batched: whether a smaller batch of a training may fit.
    """
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    batch = _TRAINING_BATCHES.get(stage) if batched else None
    smaller = _MODELS.get(stage)
    remedies = [
        *([f"lower {batch}"] if batch else []),
        *([_SMALLER[stage]] if stage in _SMALLER else []),
        "lower geometry.height and geometry.width",
        f"take a smaller model by {smaller}" if smaller else "take a smaller model",
        "or give each worker more memory (one worker a GPU, or a larger one)",
    ]
    return UserError(f"{stage}: {what} does not fit into memory ({reason}): {', '.join(remedies)}")


class FittingBatches:
    """Gives a function batches that fit into memory.

    Where one does not, the batch size is halved for the rest of the worker's life, with a remark.
    """

    def __init__(self, stage: str, size: int) -> None:
        """Begin with batches of `size` for a stage of this name."""
        self._stage = stage
        self.size = size

    def run(self, items: Sequence[T], function: Callable[[Sequence[T]], Sequence[R]]) -> list[R]:
        """The results of the function for all items, in their order, at most `size` of them at a time.

        Raises:
            UserError: not even one item fits.
        """
        results: list[R] = []
        start = 0
        while start < len(items):
            part = items[start : start + self.size]
            error = self._try(part, function, results)
            if error is None:
                start += len(part)
                continue
            if len(part) == 1:
                raise does_not_fit(self._stage, "a batch of a single sample", error) from error
            self._halve(len(part))
        return results

    def shrink(self, tried: int) -> None:
        """Go on with smaller batches, because memory ran out outside `run` with this many items.

        One item cannot be halved: `run` raises for it. Batches that were begun before the last call change nothing.
        """
        if 1 < tried <= self.size:
            self._halve(tried)

    @staticmethod
    def _try(part: Sequence[T], function: Callable[[Sequence[T]], Sequence[R]], results: list[R]) -> Exception | None:
        try:
            results.extend(function(part))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            # Without its frames, which hold the tensors that filled the memory.
            return error.with_traceback(None)
        return None

    def _halve(self, tried: int) -> None:
        # Halving `size` and not `tried`: the last batch of a unit may be small while the others are not.
        while self.size >= tried:
            self.size //= 2
        gc.collect()
        if (torch := sys.modules.get("torch")) and torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        key = f"cluster.stages.{self._stage}.batch_size"
        remark(
            f"{self._stage}: a batch of {tried} does not fit into memory: a worker goes on with {self.size} at a "
            f"time; set {key}={self.size} to start with that"
        )
