"""A whole run: every stage in order, each skipped if nothing is left to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from augment.errors import UserError
from pipeline.checks.licences import require_licensed
from pipeline.checks.resources import joins_cluster, require_resources, require_room
from pipeline.config import Config
from pipeline.engine import RetrySummary
from pipeline.stages.job import Job
from pipeline.stages.registry import STEPS
from pipeline.stages.step import StageName, Step
from pipeline.stages.store_step import StoreStep
from pipeline.stages.tools import Tools
from pipeline.store import FingerprintMismatch, Store, Totals
from pipeline.workflow.kept_config import other_recipe, write_config
from pipeline.workflow.outdated import outdated
from pipeline.workflow.run_history import RunRecord
from pipeline.workflow.selection import Selection, chosen_of, index_of, select, steps_of
from pipeline.workflow.survey import Standing, survey
from pipeline.workspace.artifact import ArtifactMismatch
from pipeline.workspace.lock import sole_run


def heading(config: Config) -> str:
    """The run and the workspace that the following lines are about."""
    stores = f", stores in {config.stores}" if config.stores else ""
    return f"{config.name} in {config.workspace}{stores}"


def run(config: Config, selection: Selection, report: Callable[[str], None]) -> None:
    """Do what is left of the selected stages.

    Args:
        config: the configuration.
        selection: the stages.
        report: called with the heading, a line for each stage, and without a terminal one for each shard.

    Raises:
        UserError: results in the workspace were made from other inputs, or an input is missing.
        RunFailed: a stage met more bad samples than the error budget allows, or broke down.
    """
    steps = steps_of(config)
    with naming_other_recipe(config):
        chosen = select(steps, selection)
    with ExitStack() as held:
        if selection.redo is None:
            standings, remarks = outlook(config, chosen, report)
        else:
            # Not the steps that will run: those must not remember what is removed below.
            looked = chosen_of(steps_of(config), selection)
            index = index_of(looked, selection.redo)
            with naming_other_recipe(config):
                before = [standing.step for standing in survey(looked[:index]) if not standing.done]
            remarks = check(config, [*before, *looked[index:]], report)
            # Held until everything is made again: no other run may begin between the removal and that.
            held.enter_context(sole_run(config.workspace))
            redone = steps[index_of(steps, selection.redo) :]
            # Before any result is removed: a refusal must not come halfway.
            for step in redone:
                step.require_resettable()
            for step in redone:
                step.reset()
            with naming_other_recipe(config):
                standings = survey(chosen)
        first = next((index for index, standing in enumerate(standings) if not standing.done), len(chosen))
        report(heading(config))
        for line in remarks:
            report(line)
        for step in chosen[:first]:
            report(f"{step.name:<9} done")
        if first == len(chosen):
            # Keys that change no result may still differ, such as the size of the largest image, which `retry` reads.
            write_config(config)
            return
        if selection.redo is None:
            held.enter_context(sole_run(config.workspace))
        write_config(config)
        tools, record = Tools(config, report), RunRecord(config)
        for step in chosen[first:]:
            started = time.monotonic()
            outcome = "done" if step.is_done() else step.run(tools)
            seconds = time.monotonic() - started
            record.add(step.name, seconds)
            report(f"{step.name:<9} {outcome} [{seconds:.1f} s]")


def outlook(
    config: Config, steps: Sequence[Step], report: Callable[[str], None] | None = None
) -> tuple[list[Standing], list[str]]:
    """How far these steps are, and remarks on the data, after a check of what the steps that are left need.

    Raises:
        UserError: results were made from other inputs, or something is missing or does not fit; for `report` see
            `check`.
    """
    with naming_other_recipe(config):
        standings = survey(steps)
    left = [standing.step for standing in standings if not standing.done]
    return standings, check(config, left, report) if left else []


def check(config: Config, left: Sequence[Step], report: Callable[[str], None] | None = None) -> list[str]:
    """Check what these steps need from outside, before anything is written.

    If `report` is given, as in a run, the Ray cluster is joined and checked too; it takes a line for a long wait.

    Returns:
        Remarks for the user, a line each.

    Raises:
        UserError: a dataset or a model is missing or does not fit, labels cannot be used, or a stage needs resources
            that do not exist.
    """
    # First what takes little time.
    require_licensed(config)
    require_resources(config, left)
    check_settings(config, left[0].job)
    if report is not None and joins_cluster(config):
        require_room(config, left, report)
    for step in left:
        step.check_names()
    remarks: list[str] = []
    for step in left:
        step.check_models()
        remarks += step.check(left)
    return remarks


def check_settings(config: Config, job: Job) -> None:
    """Check the settings of all stages, also of those that are done, against the dataset and each other.

    Raises:
        UserError: one is wrong.
    """
    for kind in STEPS:
        if not kind.left_out(config):
            job.step(kind).check_settings()


def retry(config: Config, stage: StageName, report: Callable[[str], None]) -> RetrySummary:
    """Run the quarantined samples of a stage again, after their cause was fixed; its other samples do not change.

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
    step.check_names()
    step.check_models()
    with sole_run(config.workspace):
        forget_followers(steps, step)
        summary = step.retry(Tools(config, report))
    report(f"{summary}; {step.remedy()}" if summary.failures else str(summary))
    if line := outdated(step.workspace):
        report(line)
    return summary


def forget_followers(steps: Sequence[Step], step: StoreStep) -> None:
    """Remove what a later stage has made from shards that a retry may change; the next run makes it again.

    This comes before the retry: after a kill in between, results of the old shards would go unnoticed.
    """
    changing = [receipt.shard for receipt in step.store.receipts() if receipt.failures]
    for other in steps:
        if isinstance(other, StoreStep) and other.grows_with == step.name and Store.is_at(other.url):
            for shard in changing:
                other.store.discard(shard)


@contextmanager
def naming_other_recipe(config: Config) -> Iterator[None]:
    """Begin a mismatch with the remedy if the whole workspace belongs to another recipe.

    A wrong setting is reported in place of the mismatch: the stages are not to be made again with it.
    """
    try:
        yield
    except (ArtifactMismatch, FingerprintMismatch) as error:
        check_settings(config, Job(config))
        if changed := other_recipe(config):
            differ = "differs" if len(changed) == 1 else "differ"
            lead = f"{config.workspace} holds another run ({', '.join(changed)} {differ}): take another --workspace"
            raise type(error)(f"{lead}. In detail: {error}") from error
        raise
