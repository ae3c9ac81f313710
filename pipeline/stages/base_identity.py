"""What identifies the base model of a run: one revision of a hub id for all that is made with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pipeline.stages.artifact_step import recorded_inputs
from pipeline.store import JSON, Store
from pipeline.store.manifest import LATENTS
from pipeline.workspace.model_files import model_folder, pinned_identity, pinned_revision

if TYPE_CHECKING:
    from pipeline.stages.job import Job
    from pipeline.workspace.workspace import Workspace

# The kind and the name of the artifact, and the name of the store of images.
ADAPTER, SYNTHETIC = "adapter", "synthetic"


def base_identity(job: Job) -> Mapping[str, JSON]:
    """Name and content of the base, or the revision of a hub id: that of the first result there is, else the newest.

    So that latents, adapter and images are of one revision, also where the hub has another one since. See
    `pinned_identity`.
    """
    name = job.config.generator.base
    recorded = () if model_folder(name).exists() else _recorded(job.workspace)
    same = (found for found in recorded if isinstance(found, dict) and found.get("name") == name)
    return pinned_identity(name, next(same, None), "model_index.json")


def base_revision(job: Job) -> str | None:
    """The revision of a hub id that workers load; None where none is known, and for a folder, which is not read."""
    return None if model_folder(job.config.generator.base).exists() else pinned_revision(base_identity(job))


def _recorded(workspace: Workspace) -> Iterator[JSON]:
    """The base of each result that exists, in the order in which they are made."""
    for name in (LATENTS, ADAPTER, SYNTHETIC):
        if name == ADAPTER:
            yield recorded_inputs(workspace, name).get("base")
        elif Store.is_at(url := workspace.store(name)):
            yield Store.open(url).manifest.inputs.get("base")
