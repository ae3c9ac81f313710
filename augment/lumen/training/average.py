"""The average of the weights over a training, in host memory."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


class WeightAverage:
    """Exponential average of weights, in host memory, which is what a training gives.

    After step s the decay is d(s) = min(`decay`, (1 + s) / (10 + s)): shorter in the beginning, so that it forgets
    the initial weights. With `every` = n, the average changes after each n-th step and after the last one, by
    average += (1 - d(s)^m) (weights - average) for the m steps since its last change.

    Weights on a GPU are copied to host memory at that step, and a thread adds them while the next steps are taken.

    Args:
        parameters: name -> weight.
        decay: 0..1.
        every: steps between changes.
    """

    def __init__(self, parameters: Mapping[str, Tensor], decay: float, every: int = 1) -> None:
        self._weights = [value.detach() for value in parameters.values()]
        self._decay, self._every, self._changed = decay, every, 0
        self.values = {
            name: weight.to("cpu", copy=True) for name, weight in zip(parameters, self._weights, strict=True)
        }
        on_gpu = any(weight.is_cuda for weight in self._weights)
        self._staging = [torch.empty_like(w, device="cpu", pin_memory=True) for w in self._weights] if on_gpu else None
        self._worker = ThreadPoolExecutor(1, "average")
        self._adding: Future[None] | None = None

    def resume(self, step: int, values: Mapping[str, Tensor]) -> None:
        """Go on from the values of an earlier run, which were current after `step`."""
        for name, value in self.values.items():
            value.copy_(values[name])
        # A checkpoint between two changes: the steps since the last one still count.
        self._changed = step // self._every * self._every

    @torch.no_grad()
    def update(self, step: int, *, last: bool) -> None:
        """Take the weights after `step` in, where it is its turn."""
        if step % self._every and not last:
            return
        decay = min(self._decay, (1 + step) / (10 + step)) ** (step - self._changed)
        self._changed = step
        self.wait()
        if self._staging is None:
            torch._foreach_lerp_(list(self.values.values()), self._weights, 1 - decay)
            return
        for kept, weight in zip(self._staging, self._weights, strict=True):
            kept.copy_(weight, non_blocking=True)
        torch.cuda.current_stream(self._weights[0].device).synchronize()
        self._adding = self._worker.submit(torch._foreach_lerp_, list(self.values.values()), self._staging, 1 - decay)

    def wait(self) -> None:
        """Wait until the average is current."""
        if self._adding is not None:
            adding, self._adding = self._adding, None
            adding.result()

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange weights and average."""
        self.wait()
        for value, weight in zip(self.values.values(), self._weights, strict=True):
            kept = weight.to("cpu", copy=True)
            weight.copy_(value)
            value.copy_(kept)
