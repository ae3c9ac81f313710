"""The list of stages, in the order of a run, and what follows from it: stores and artifacts of a workspace."""

from __future__ import annotations

from pathlib import Path

from pipeline.stages.adapt import AdaptStep
from pipeline.stages.caption import CaptionStep
from pipeline.stages.compare import CompareStep
from pipeline.stages.curate import CurateStep
from pipeline.stages.encode import EncodeStep
from pipeline.stages.evaluate import EvaluateStep
from pipeline.stages.extract import ExtractStep
from pipeline.stages.fit import FitStep
from pipeline.stages.generate import GenerateStep
from pipeline.stages.judge import JudgeStep
from pipeline.stages.probe import ProbeStep
from pipeline.stages.report import ReportStep
from pipeline.stages.search import SearchStep
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Step
from pipeline.stages.store_step import StoreStep
from pipeline.workspace.workspace import Workspace

STEPS: list[type[Step]] = [
    ShardStep,
    FitStep,
    ProbeStep,
    ExtractStep,
    CaptionStep,
    EncodeStep,
    AdaptStep,
    GenerateStep,
    JudgeStep,
    CurateStep,
    SearchStep,
    CompareStep,
    EvaluateStep,
    ReportStep,
]


def stage_names() -> list[str]:
    """The names of all stages, in order."""
    return [step.name for step in STEPS]


def store_steps() -> list[type[StoreStep]]:
    """The stages that write a store."""
    return [step for step in STEPS if issubclass(step, StoreStep)]


def stores_in(workspace: Workspace) -> dict[str, str]:
    """URLs of all stores by name, whether they exist or not."""
    return {step.output: step.url_in(workspace) for step in store_steps()}


def artifacts_in(workspace: Workspace) -> list[Path]:
    """Paths of the artifacts that only a run writes, whether they exist or not."""
    names = [
        name
        for step in STEPS
        for name in (*step.prepared, *(() if issubclass(step, StoreStep) else (step.output,)))
        if step.only_by_run
    ]
    return [workspace.artifact(name) for name in names]
