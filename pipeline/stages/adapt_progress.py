"""Where the checkpoint of an adapter's training is, and how far it is, without loading a tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.store.location import Location

if TYPE_CHECKING:
    from pipeline.config import Config

# Folder in the artifact with the logs and samples of the training.
TRAINING = "training"
# A file of safetensors begins with the length of its header, a little-endian integer of so many bytes.
LENGTH_BYTES = 8


def remote_checkpoints(config: Config) -> str | None:
    """URL of the folder of the checkpoints, in the object store with the stores; None where these are on a disk."""
    return f"{config.stores}/checkpoints" if config.stores and "://" in config.stores else None


def checkpoints_of(config: Config, path: Path) -> str:
    """URL of the folder of the checkpoint of a training that writes its adapter to a path."""
    url = remote_checkpoints(config)
    return f"{url}/{path.name}" if url else str(path / TRAINING)


def steps_taken(config: Config, path: Path) -> int:
    """The steps of an interrupted training that writes its adapter to a path, by its checkpoint; 0 without one.

    Checkpoints of earlier versions, which hold the step among the tensors, count as 0.

    Raises:
        ValueError: the checkpoint is damaged.
    """
    from augment.lumen.training.checkpoint import CHECKPOINT

    place = Location(checkpoints_of(config, path))
    if not place.exists(CHECKPOINT):
        return 0
    [length] = place.read_ranges(CHECKPOINT, [(0, LENGTH_BYTES)])
    [header] = place.read_ranges(CHECKPOINT, [(LENGTH_BYTES, int.from_bytes(length, "little"))])
    facts = json.loads(header).get("__metadata__", {}).get("facts", "{}")
    return int(json.loads(facts).get("step", 0))


def where_it_resumes(config: Config, path: Path) -> str:
    """A line that says at which step a training resumes; empty where it begins. See `steps_taken`."""
    taken = steps_taken(config, path)
    return f"adapt: resumes at step {taken} of {config.adapt.steps}" if taken else ""
