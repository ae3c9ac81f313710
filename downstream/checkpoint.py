"""Training state on disk: safetensors with a JSON header, no pickle, whole or not there at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.optim import Optimizer


@dataclass(frozen=True)
class TrainingState:
    """Where a training stands: `iteration` steps are done.

    Attributes:
        iteration: steps done.
        header: what the trainer wants back, as JSON: schedules, the losses so far.
        tensors: ``model.<name>`` and ``optimizer.<parameter>.<name>``.
        groups: the optimizer's parameter groups.
    """

    iteration: int
    header: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]
    groups: list[dict[str, Any]]

    @classmethod
    def of(cls, iteration: int, header: Mapping[str, Any], model: nn.Module, optimizer: Optimizer) -> TrainingState:
        """The state of a running training; tensors are shared, not copied."""
        optimizer_state = optimizer.state_dict()
        tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        for parameter, entries in optimizer_state["state"].items():
            tensors |= {f"optimizer.{parameter}.{name}": value for name, value in entries.items()}
        return cls(iteration, header, tensors, optimizer_state["param_groups"])

    def restore(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Put weights and optimizer back as they were."""
        model.load_state_dict(_under("model", self.tensors))
        entries: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in _under("optimizer", self.tensors).items():
            parameter, _, entry = name.partition(".")
            entries.setdefault(int(parameter), {})[entry] = tensor
        optimizer.load_state_dict({"state": entries, "param_groups": self.groups})

    def save(self, path: Path) -> None:
        """Write the state to `path`, replacing an older one in one step."""
        header = {"iteration": self.iteration, "header": self.header, "groups": self.groups}
        temporary = path.with_name(path.name + ".tmp")
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        save_file(tensors, temporary, metadata={"state": json.dumps(header)})
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> TrainingState:
        """Read what `save` wrote."""
        with safe_open(path, framework="pt") as content:
            header = json.loads(content.metadata()["state"])
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - no mapping
        return cls(header["iteration"], header["header"], tensors, header["groups"])


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    start = prefix + "."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
