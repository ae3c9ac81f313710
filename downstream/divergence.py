"""A training stops at the first number that is not finite, before it reaches the weights or what is saved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import nn

# A scale of fp16 below this has overflowed some 30 times more often than not: the gradients are never finite.
SMALLEST_SCALE = 2.0**-14


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
        self._require_finite(float(self.message_hub.get_scalar("train/grad_norm").current()))

    def _require_finite(self, norm: float) -> None:
        if not math.isfinite(norm):
            raise Diverged(f"the norm of the gradients is {norm}")


def autocast(precision: str, device: str) -> torch.autocast:
    """The context of a forward pass in `fp32`, `bf16` or `fp16`; `device` is a type such as cuda."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device, dtype, enabled=precision != "fp32")


class MixedPrecision(FiniteOptimWrapper):
    """The same with a forward pass in 16 bits, and gradients that are scaled in fp16, where small ones would be 0.

    mmengine's `AmpOptimWrapper` does this on GPUs alone, and lets gradients that are not finite pass unseen. In fp16,
    steps with such gradients are left out, as everywhere, and the scale falls; a loss that is not finite ends the
    training, and so do gradients that are not finite at whatever scale.

    Args:
        precision: `bf16` or `fp16`.
        settings: arguments of `OptimWrapper`.
    """

    def __init__(self, precision: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.precision = precision
        device = next(tensor.device.type for group in self.param_groups for tensor in group["params"])
        self.scaler = torch.amp.GradScaler(device, enabled=precision == "fp16")

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast the forward pass."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), autocast(self.precision, device):
            yield

    def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
        """Backpropagate the scaled loss."""
        super().backward(self.scaler.scale(loss), **kwargs)

    def step(self, **kwargs: Any) -> None:
        """Take the step, unless gradients overflow in fp16; raises Diverged where they always do."""
        self.scaler.unscale_(self.optimizer)
        if self.clip_grad_kwargs:
            self._clip_grad()
        self.scaler.step(self.optimizer, **kwargs)
        self.scaler.update()
        if self.scaler.is_enabled() and self.scaler.get_scale() < SMALLEST_SCALE:
            raise Diverged("the gradients in fp16 are not finite, however small their scale is")

    def _require_finite(self, norm: float) -> None:
        if not self.scaler.is_enabled():
            super()._require_finite(norm)


def require_finite_weights(tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise Diverged where one of the named weights is not finite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise Diverged(f"the weights {name} are not finite")


def require_finite_scores(scores: Iterable[torch.Tensor]) -> None:
    """Raise Diverged where a class score of an image is not finite: the highest one would be chosen all the same."""
    if not all(torch.isfinite(score).all() for score in scores):
        raise Diverged("the scores of an image are not finite")
