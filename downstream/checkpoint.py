"""Training state on disk: safetensors with a JSON header, no pickle."""

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

from augment.files import written_whole

# The file in the folder of a training that is not finished.
STATE = "state.safetensors"


@dataclass(frozen=True)
class TrainingState:
    """The state of a training after `iteration` steps.

    Attributes:
        iteration: steps done.
        header: what the trainer needs to resume, as JSON: schedules, the losses so far.
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
        """Load the weights and the optimizer's state."""
        model.load_state_dict(_under("model", self.tensors))
        entries: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in _under("optimizer", self.tensors).items():
            parameter, _, entry = name.partition(".")
            entries.setdefault(int(parameter), {})[entry] = tensor
        optimizer.load_state_dict({"state": entries, "param_groups": self.groups})

    def save(self, path: Path) -> None:
        """Write the state to `path`, replacing an older one in one step."""
        header = {"iteration": self.iteration, "header": self.header, "groups": self.groups}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        with written_whole(path) as scratch:
            save_file(tensors, scratch, metadata={"state": json.dumps(header)})

    @classmethod
    def load(cls, path: Path) -> TrainingState:
        """Read what `save` wrote."""
        with safe_open(path, framework="pt") as content:
            header = json.loads(content.metadata()["state"])
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - no mapping
        return cls(header["iteration"], header["header"], tensors, header["groups"])


def steps_taken(run_dir: Path) -> int:
    """The steps of an interrupted training in its folder, without loading a tensor; 0 without a saved state."""
    if not (path := run_dir / STATE).is_file():
        return 0
    with safe_open(path, framework="pt") as content:
        return int(json.loads(content.metadata()["state"])["iteration"])


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    start = prefix + "."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
