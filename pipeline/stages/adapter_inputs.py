"""What an adapter is made from, but for the versions of its training images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from augment.files import write_whole
from pipeline.stages.adapt_progress import TRAINING
from pipeline.stages.artifact_step import recorded_inputs
from pipeline.stages.base_identity import ADAPTER, base_identity
from pipeline.stages.caption import caption_inputs
from pipeline.stages.conditioning import conditioning_inputs, is_layout
from pipeline.stages.extract import ExtractStep, maps_inputs
from pipeline.stages.fit import FitStep
from pipeline.stages.generator import start_adapter
from pipeline.stages.job import Job
from pipeline.store import JSON
from pipeline.workspace.content import content_digest
from pipeline.workspace.model_files import basis_digest, identity, pinned_identity
from pipeline.workspace.workspace import Workspace

# File of a training with the ControlNet that it starts from.
CONTROLNET = "controlnet.json"


def adapter_inputs(job: Job) -> dict[str, JSON]:
    """What the adapter depends on, if it is trained on images as they are; the stores that it names must exist."""
    start, options, used = start_adapter(job.config), job.config.adapt, used_basis(job)
    inputs: dict[str, JSON] = {
        "start": identity(str(start)) if start else None,
        **({"basis": basis_digest(used)} if used else conditioning_inputs(job, maps_inputs(job))),
        "steps": options.steps,
    }
    if options.steps:
        inputs |= {
            "base": base_identity(job),
            "layouts": content_digest(job.step(ExtractStep).store),
            "options": options.semantic,
            "precision": job.config.generator.training_precision,
            "seed": job.config.seed,
            **caption_inputs(job),
        }
        if options.controlnet:
            inputs["controlnet"] = {**controlnet_identity(job, options.controlnet)}
    return inputs


def controlnet_identity(job: Job, name: str) -> Mapping[str, JSON]:
    """Name and content of the ControlNet to start from, or the revision of a hub id; see `pinned_identity`."""
    recorded = recorded_inputs(job.workspace, ADAPTER).get("controlnet")
    return pinned_identity(name, recorded or _begun_from(job.workspace))


def record_controlnet(path: Path, controlnet: Mapping[str, JSON]) -> None:
    """Record, beside the logs of a training, the ControlNet that it starts from."""
    (path / TRAINING).mkdir(parents=True, exist_ok=True)
    write_whole(path / TRAINING / CONTROLNET, json.dumps(dict(controlnet)) + "\n")


def _begun_from(workspace: Workspace) -> JSON:
    """What an interrupted training has recorded of its ControlNet, so that it goes on with that revision."""
    adapter = workspace.artifact(ADAPTER)
    found = sorted(adapter.parent.glob(f".{adapter.name}-*.partial/{TRAINING}/{CONTROLNET}"))
    return json.loads(found[0].read_text()) if found else None


def used_basis(job: Job) -> Path | None:
    """Folder of the basis that layouts are written in; None if the adapter reads something else."""
    return job.step(FitStep).used if is_layout(job.config) else None
