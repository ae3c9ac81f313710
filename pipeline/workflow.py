"""The whole way of the data: every stage in order, each skipped where nothing is left to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from augment.errors import UserError
from pipeline.compose import load_config
from pipeline.config import Config, StageName
from pipeline.lock import sole_run
from pipeline.steps import Step, StoreStep, Tools
from pipeline.store import Totals
from pipeline.workflow_captions import Captions
from pipeline.workflow_generation import Generation
from pipeline.workflow_layouts import Layouts
from pipeline.workflow_value import Value
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Selection:
    """Which stages to run.

    Attributes:
        until: the last one, or None for all.
        only: the only one, or None.
        redo: the first one whose results are removed, with those of all that follow, or None.
    """

    until: StageName | None = None
    only: StageName | None = None
    redo: StageName | None = None


def steps_of(config: Config) -> list[Step]:
    """All stages of a run, in order; those that need labels are left out where `evaluate.split` is null."""
    workspace = Workspace.of(config)
    layouts = Layouts(config, workspace)
    captions, generation = Captions(config, workspace, layouts), Generation(config, workspace, layouts)
    steps = [*layouts.steps(), *captions.steps(), *generation.steps()]
    return steps if config.evaluate.split is None else [*steps, *Value(config, workspace, layouts).steps()]


def run(config: Config, selection: Selection, report: Callable[[str], None]) -> None:
    """Do what is left of the selected stages.

    Args:
        config: of the run.
        selection: of stages.
        report: takes a line for each stage, and for each shard where no terminal shows a bar.

    Raises:
        UserError: what lies in the workspace was made from other inputs, or an input is missing.
        RunFailed: a stage met more bad samples than the error budget bears, or broke down.
    """
    steps = steps_of(config)
    chosen = select(steps, selection)
    if selection.redo is not None:
        check(config, names(chosen))
        with sole_run(config.workspace):
            for step in steps[index_of(steps, selection.redo) :]:
                step.reset()
    first = next((index for index, step in enumerate(chosen) if not step.is_done()), len(chosen))
    for step in chosen[:first]:
        report(f"{step.name:<9} done")
    if first == len(chosen):
        return
    check(config, names(chosen[first:]))
    with sole_run(config.workspace):
        write_config(config)
        tools = Tools(config, report)
        for step in chosen[first:]:
            started = time.monotonic()
            outcome = "done" if step.is_done() else step.run(tools)
            report(f"{step.name:<9} {outcome} [{time.monotonic() - started:.1f} s]")


def check(config: Config, stages: Sequence[StageName]) -> None:
    """Look at what comes from outside and is needed for `stages`, before anything is written.

    Raises:
        UserError: a dataset or a model is missing or does not fit.
    """
    workspace = Workspace.of(config)
    layouts = Layouts(config, workspace)
    layouts.check()
    if config.evaluate.split is not None:
        Value(config, workspace, layouts).check(stages)


def retry(config: Config, stage: StageName, report: Callable[[str], None]) -> None:
    """Run what a stage has put in quarantine again, its cause being mended; its other samples stay as they are.

    Raises:
        UserError: the stage writes no store, has not been run, or was run with other inputs.
        RunFailed: the stage broke down.
    """
    steps = steps_of(config)
    step = steps[index_of(steps, stage)]
    if not isinstance(step, StoreStep):
        stores = ", ".join(other.name for other in steps if isinstance(other, StoreStep))
        raise UserError(f"retry {stage}: it writes no store and has no quarantine; the stages that do are {stores}")
    if step.made() == Totals():
        raise UserError(f"retry {stage}: it has not been run in {config.workspace}")
    select(steps, Selection(only=stage))
    with sole_run(config.workspace):
        summary = step.retry(Tools(config, report))
    report(str(summary))
    if summary.mended and (stale := first_stale(steps[steps.index(step) + 1 :])):
        report(stale)


def first_stale(steps: Sequence[Step]) -> str | None:
    """What the first of these steps that was made from other inputs than there are now says of it, or None."""
    for step in steps:
        try:
            if not step.is_done():
                return None
        except UserError as error:
            return str(error)
    return None


def select(steps: Sequence[Step], selection: Selection) -> list[Step]:
    """The steps to run.

    Raises:
        UserError: `only` names a stage whose predecessors are not done, or `redo` one that is not to run.
    """
    if selection.redo is not None and selection.redo not in names(chosen_of(steps, selection)):
        raise UserError(f"--redo {selection.redo} would remove what --only or --until keeps from being made again")
    if selection.only is not None:
        index = index_of(steps, selection.only)
        for step in steps[:index]:
            if not step.is_done():
                raise UserError(f"--only {selection.only}: stage {step.name} before it is not done; use --until")
    return chosen_of(steps, selection)


def chosen_of(steps: Sequence[Step], selection: Selection) -> list[Step]:
    """The steps that `only` and `until` leave."""
    if selection.only is not None:
        return [steps[index_of(steps, selection.only)]]
    last = len(steps) if selection.until is None else index_of(steps, selection.until) + 1
    return list(steps[:last])


def index_of(steps: Sequence[Step], stage: StageName) -> int:
    """Where a stage stands; raises UserError where the run leaves it out."""
    if stage not in names(steps):
        missing = "captions.model" if stage == "caption" else "a labelled split, and evaluate.split"
        raise UserError(f"{stage} is no stage of this run: it needs {missing}, which is null")
    return names(steps).index(stage)


def names(steps: Sequence[Step]) -> list[StageName]:
    return [step.name for step in steps]


def write_config(config: Config) -> None:
    """Keep the resolved configuration in the workspace, for `status` and for the reader."""
    path = Workspace.of(config).config
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_text(OmegaConf.to_yaml(OmegaConf.create(config.model_dump(mode="json"))))
    scratch.replace(path)


def read_config(root: Path) -> Config:
    """The configuration that a workspace was last run with; the folder may have been moved.

    Raises:
        UserError: it holds none.
    """
    path = Workspace(root).config
    if not path.is_file():
        raise UserError(f"{root} is no workspace: {path.name} is missing; give the folder that lumen run wrote to")
    return load_config(str(path), [f"workspace={root}"])
