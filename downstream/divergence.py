"""A training stops at the first number that is not finite, before it reaches the weights or what is saved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from mmengine.optim import OptimWrapper


class Diverged(ArithmeticError):  # noqa: N818 - it says what happened
    """A loss, a gradient, a weight or a score is infinite or not a number; the message says which."""


class FiniteOptimWrapper(OptimWrapper):
    """mmengine's optimizer wrapper, which takes no step from a loss or from gradients that are not finite."""

    def update_params(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """Take one step; raises Diverged before the weights change."""
        if not torch.isfinite(loss).all():
            raise Diverged(f"the loss is {float(loss)}")
        super().update_params(loss, *args, **kwargs)

    def _clip_grad(self) -> None:
        """Clip, and look at the norm that this has measured: one infinite gradient makes all of them NaN."""
        super()._clip_grad()
        norm = float(self.message_hub.get_scalar("train/grad_norm").current())
        if not math.isfinite(norm):
            raise Diverged(f"the norm of the gradients is {norm}")


def require_finite_weights(tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise Diverged where one of the named weights is not finite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise Diverged(f"the weights {name} are not finite")


def require_finite_scores(scores: Iterable[torch.Tensor]) -> None:
    """Raise Diverged where a class score of an image is not finite: the highest one would be chosen all the same."""
    if not all(torch.isfinite(score).all() for score in scores):
        raise Diverged("the scores of an image are not finite")
