"""Models that come with the project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from augment.lumen.adapter import LayoutControlNet
    from augment.lumen.diffusion_model import BaseModel

ZOO = Path(__file__).parent


def names() -> list[str]:
    """Names of the models in the zoo."""
    return sorted(path.parent.name for path in ZOO.glob("*/model_index.json"))


def load(name: str, device: str = "cpu") -> tuple[BaseModel, LayoutControlNet]:
    """Load a model of the zoo with its adapter, e.g. `lumen-tiny`."""
    from augment.lumen.adapter import load_adapter
    from augment.lumen.diffusion_model import load_base

    return load_base(name, device), load_adapter(ZOO / name / "adapter", device).eval().requires_grad_(False)
