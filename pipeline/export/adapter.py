"""An adapter of a workspace as a folder of its own: weights, basis or conditioning, and a model card."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from augment.conditioning.record import CONDITIONING_FILE
from augment.errors import UserError
from augment.files import write_whole
from pipeline.export.adapter_card import CARD, adapter_card
from pipeline.stages.adapt import AdaptStep
from pipeline.stages.generator import BASIS
from pipeline.stages.job import Job

if TYPE_CHECKING:
    from pipeline.config import Config

# What makes an adapter; logs, samples and the record of the workspace stay behind.
PARTS = ("config.json", "*.safetensors", BASIS, CONDITIONING_FILE)


def export_adapter(config: Config, destination: Path) -> None:
    """Write the adapter of a run to a folder that `generator.adapter`, `Lumen.load` and `load_adapter` take.

    Args:
        config: of the run.
        destination: a folder that does not exist yet, or is empty.

    Raises:
        UserError: the run has no adapter, or the folder is not empty.
    """
    step = Job(config).step(AdaptStep)
    record = step.record
    require_empty(destination)
    scratch = destination.with_name(destination.name + ".partial")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    for path in sorted(path for part in PARTS for path in step.path.glob(part)):
        if path.is_dir():
            shutil.copytree(path, scratch / path.name)
        else:
            shutil.copy(path, scratch)
    write_whole(scratch / CARD, adapter_card(config, record, step.path))
    if destination.exists():
        destination.rmdir()
    scratch.rename(destination)


def require_empty(destination: Path) -> None:
    """Raise UserError if a path exists and is no empty folder."""
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise UserError(f"{destination} is not an empty folder: name one that does not exist yet")
