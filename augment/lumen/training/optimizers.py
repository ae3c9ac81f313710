"""The optimizers that a training may use, and their state as named tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from augment.lumen.options import OptimizerName, require_optimizer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

BETAS = (0.9, 0.99)
WEIGHT_DECAY = 1e-2


def new_optimizer(name: OptimizerName, parameters: Iterable[Tensor], learning_rate: float) -> torch.optim.Optimizer:
    """AdamW over the parameters: `adamw` with moments of 32 bits, `adamw8bit` with moments of 8.

    Raises:
        UserError: its package is not installed.
    """
    require_optimizer(name)
    if name == "adamw8bit":
        from bitsandbytes.optim import AdamW8bit

        return AdamW8bit(parameters, learning_rate, BETAS, weight_decay=WEIGHT_DECAY)
    return torch.optim.AdamW(parameters, learning_rate, BETAS, weight_decay=WEIGHT_DECAY, fused=True)


def optimizer_state(optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state as `<part>/<parameter>` -> tensor, numbers as tensors of one element."""
    return {
        f"{part}/{name}": torch.as_tensor(value)
        for name, parameter in parameters.items()
        for part, value in optimizer.state[parameter].items()
    }


def set_optimizer_state(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> None:
    """Put back what `optimizer_state` gave, on the devices of the parameters.

    AdamW keeps its number of steps as a tensor, and bitsandbytes as a number.
    """
    counts_as_tensor = isinstance(optimizer, torch.optim.AdamW)
    found: dict[str, dict[str, Any]] = {}
    for key, value in state.items():
        part, _, name = key.partition("/")
        found.setdefault(name, {})[part] = value
    for name, parameter in parameters.items():
        optimizer.state[parameter] = {
            part: int(value) if part == "step" and not counts_as_tensor else value.to(parameter.device, copy=True)
            for part, value in found.get(name, {}).items()
        }
