"""The whole way of the data: every stage in order, each skipped where nothing is left to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from augment.backbones import OFFLINE_DINOV2
from augment.errors import UserError
from augment.lumen import zoo
from pipeline.checks.labels import LabelCheck, check_stored_labels
from pipeline.checks.models import (
    BACKBONE,
    BASE,
    CAPTIONER,
    require_backbone,
    require_base,
    require_basis_fits,
    require_captioner,
)
from pipeline.checks.prompts import require_prompts_fit, require_sources_fit
from pipeline.checks.resources import joins_cluster, require_resources, require_room
from pipeline.config import Config, StageName
from pipeline.config.compose import load_config
from pipeline.config.overrides import literal
from pipeline.engine.retry_stage import RetrySummary
from pipeline.stages.steps import Step, StoreStep, Tools
from pipeline.stages.workflow_captions import Captions
from pipeline.stages.workflow_generation import Generation
from pipeline.stages.workflow_layouts import Layouts
from pipeline.stages.workflow_value import LABELLED_STAGES, Value
from pipeline.store import FingerprintMismatch, Store, Totals
from pipeline.workflow.outdated import outdated
from pipeline.workflow.survey import Standing, survey
from pipeline.workspace.artifact import ArtifactMismatch
from pipeline.workspace.lock import sole_run
from pipeline.workspace.model_files import require_reachable, require_same_shape
from pipeline.workspace.workspace import Workspace, kept_config

# Where so many sections differ, it is another recipe and no change of one.
MANY_SECTIONS = 3


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


def heading(config: Config) -> str:
    """Which run in which workspace the lines that follow are about."""
    stores = f", stores in {config.stores}" if config.stores else ""
    return f"{config.name} in {config.workspace}{stores}"


def steps_of(config: Config) -> list[Step]:
    """All stages of a run, in order; those that need labels are left out where `evaluate.split` is null."""
    workspace = Workspace.of(config)
    layouts = Layouts(config, workspace)
    captions, generation = Captions(config, workspace, layouts), Generation(config, workspace, layouts)
    steps = [*layouts.data.steps(), *layouts.steps(), *captions.steps(), *generation.steps()]
    return steps if config.evaluate.split is None else [*steps, *Value(config, workspace, layouts).steps()]


def run(config: Config, selection: Selection, report: Callable[[str], None]) -> None:
    """Do what is left of the selected stages.

    Args:
        config: of the run.
        selection: of stages.
        report: takes the heading, a line for each stage, and one for each shard where no terminal shows a bar.

    Raises:
        UserError: what lies in the workspace was made from other inputs, or an input is missing.
        RunFailed: a stage met more bad samples than the error budget bears, or broke down.
    """
    steps = steps_of(config)
    with told_whose(config):
        chosen = select(steps, selection)
    with ExitStack() as held:
        if selection.redo is None:
            standings, remarks = outlook(config, chosen, report)
        else:
            # Other steps than those that run, which must not remember what is removed below.
            looked = chosen_of(steps_of(config), selection)
            index = index_of(looked, selection.redo)
            with told_whose(config):
                before = [standing.step for standing in survey(looked[:index]) if not standing.done]
            remarks = check(config, [*before, *looked[index:]], report)
            # Held until all is made again: another run must not begin between the removal and that.
            held.enter_context(sole_run(config.workspace))
            for step in steps[index_of(steps, selection.redo) :]:
                step.reset()
            with told_whose(config):
                standings = survey(chosen)
        first = next((index for index, standing in enumerate(standings) if not standing.done), len(chosen))
        report(heading(config))
        for line in remarks:
            report(line)
        for step in chosen[:first]:
            report(f"{step.name:<9} done")
        if first == len(chosen):
            # What changes no result may still differ, such as the largest image that `retry` is to read.
            write_config(config)
            return
        if selection.redo is None:
            held.enter_context(sole_run(config.workspace))
        write_config(config)
        tools = Tools(config, report)
        for step in chosen[first:]:
            started = time.monotonic()
            outcome = "done" if step.is_done() else step.run(tools)
            report(f"{step.name:<9} {outcome} [{time.monotonic() - started:.1f} s]")


def outlook(
    config: Config, steps: Sequence[Step], report: Callable[[str], None] | None = None
) -> tuple[list[Standing], list[str]]:
    """How far these steps are, and lines on the labels; what those that are not done need has been looked at.

    Raises:
        UserError: what is there was made from other inputs, or what is needed is missing or does not fit; see `check`,
            which `report` is for.
    """
    with told_whose(config):
        standings = survey(steps)
    left = [standing.step for standing in standings if not standing.done]
    return standings, check(config, left, report) if left else []


def check(config: Config, steps: Sequence[Step], report: Callable[[str], None] | None = None) -> list[str]:
    """Look at what comes from outside and is needed for these steps, before anything is written.

    Where `report` is given, as for a run, a Ray cluster is joined and looked at too; it takes a line for a long wait.

    Returns:
        What should be known of the labels, a line each.

    Raises:
        UserError: a dataset or a model is missing or does not fit, its labels cannot be used, or a stage asks for
            resources that there are not.
    """
    stages = names(steps)
    workspace = Workspace.of(config)
    layouts = Layouts(config, workspace)
    layouts.data.check()
    parts = {step.name: step.parts() for step in steps}
    # First what takes no time.
    require_resources(config, parts)
    if report is not None and joins_cluster(config):
        require_room(config, parts, report)
    remarks: list[str] = []
    budget = config.error_budget
    if "shard" in stages:
        trains = bool({*LABELLED_STAGES} & {*stages})
        remarks = LabelCheck(layouts.data, budget, config.evaluate.split, trains).run()
    elif "judge" in stages:
        check_stored_labels(layouts.data)
    layouts.check()
    Generation(config, workspace, layouts).check()
    if config.evaluate.split is not None:
        Value(config, workspace, layouts).check(stages)
    require_models(config, stages)
    if "generate" in stages:
        prompts, base = config.generate.prompts, config.generator.base
        require_sources_fit(prompts, base, layouts.data.source_attributes(), budget)
    return remarks


def require_models(config: Config, stages: Sequence[StageName]) -> None:
    """Look for the models that `stages` load, and whether they fit together, by their configurations.

    Raises:
        UserError: one is neither here nor on the hub, is of another sort, or does not fit the others.
    """
    layouts = Layouts(config, Workspace.of(config))
    if {"fit", "extract"} & set(stages):
        name = config.backbone.name
        require_reachable(BACKBONE, name, "config.json", [OFFLINE_DINOV2])
        channels = require_backbone(name)
        if "fit" in stages and (basis := layouts.adapter_basis()):
            require_basis_fits(basis, name, channels)
    if {"adapt", "generate"} & set(stages):
        base = config.generator.base
        require_reachable(BASE, base, "model_index.json", zoo.names())
        unet = require_base(base)
        if adapter := layouts.start_adapter():
            require_same_shape(adapter, base, unet)
    if "generate" in stages:
        require_prompts_fit(config.generate.prompts, config.generator.base)
    if "caption" in stages and config.captions.model is not None:
        require_reachable(CAPTIONER, config.captions.model, "config.json", [])
        require_captioner(config.captions.model)


def retry(config: Config, stage: StageName, report: Callable[[str], None]) -> RetrySummary:
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
    require_models(config, [stage])
    with sole_run(config.workspace):
        forget_followers(steps, step)
        summary = step.retry(Tools(config, report))
    report(f"{summary}; {step.remedy(config.workspace)}" if summary.failures else str(summary))
    if line := outdated(Workspace.of(config)):
        report(line)
    return summary


def forget_followers(steps: Sequence[Step], step: StoreStep) -> None:
    """Remove what a later stage has made of shards that a retry may change; the next run makes it anew.

    Before the retry: a kill behind it would leave what was made of the old shards, and nothing would tell.
    """
    changing = [receipt.shard for receipt in Store.open(step.url).receipts() if receipt.failures]
    for other in steps:
        if isinstance(other, StoreStep) and other.grows_with == step.name and Store.is_at(other.url):
            store = Store.open(other.url)
            for shard in changing:
                store.discard(shard)


@contextmanager
def told_whose(config: Config) -> Iterator[None]:
    """Begin what is told of other inputs with the way out where the whole workspace is another recipe's."""
    try:
        yield
    except (ArtifactMismatch, FingerprintMismatch) as error:
        if changed := other_recipe(config):
            differ = "differs" if len(changed) == 1 else "differ"
            lead = f"{config.workspace} holds another run ({', '.join(changed)} {differ}): take another --workspace"
            raise type(error)(f"{lead}. In detail: {error}") from error
        raise


def other_recipe(config: Config) -> list[str]:
    """The sections that differ from those the workspace was run with, where it is another recipe that they make."""
    kept = kept_config(Workspace.of(config).config)
    asked = config.model_dump(mode="json", exclude={"workspace", "stores", "cluster", "error_budget"})
    changed = [section for section, value in asked.items() if section in kept and kept[section] != value]
    return changed if {"name", "dataset"} & set(changed) or len(changed) >= MANY_SECTIONS else []


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
        why = (
            "captions.model is null; name an image-to-text model"
            if stage == "caption"
            else "evaluate.split is null; name a labelled split that is held out"
        )
        raise UserError(f"{stage} is no stage of this run: {why}")
    return names(steps).index(stage)


def names(steps: Sequence[Step]) -> list[StageName]:
    return [step.name for step in steps]


def write_config(config: Config) -> None:
    """Keep the resolved configuration in the workspace, for `status` and for the reader; see `KEPT_CONFIG`."""
    path = Workspace.of(config).config
    text = OmegaConf.to_yaml(OmegaConf.create(literal(config.model_dump(mode="json", exclude={"workspace"}))))
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def read_config(root: Path, *, done: bool = False) -> Config:
    """The configuration that a workspace was last run with; the folder may have been moved.

    Where its run is only looked at, and so `done`, dataset and models need not be there.

    Raises:
        UserError: it holds none, or one that this version does not know.
    """
    path = Workspace(root).config
    if not path.is_file():
        raise UserError(f"{root} is no workspace: {path.name} is missing; give the folder that lumen run wrote to")
    try:
        config = load_config(str(path), done=done)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return config.model_copy(update={"workspace": root.expanduser().absolute()})
