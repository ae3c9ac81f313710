"""The steps of a run, and which of them to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from augment.errors import UserError
from pipeline.stages.job import Job
from pipeline.stages.registry import STEPS
from pipeline.stages.step import StageName, Step

if TYPE_CHECKING:
    from pipeline.config import Config


@dataclass(frozen=True)
class Selection:
    """Which stages to run.

    Attributes:
        until: the last one, or None for all.
        only: the only one, or None.
        redo: the first one to remove the results of, with those of all that follow, or None.
    """

    until: StageName | None = None
    only: StageName | None = None
    redo: StageName | None = None


def steps_of(config: Config) -> list[Step]:
    """All stages of a run in order: that of the list, but each after those that it reads."""
    job = Job(config)
    return in_order([job.step(step) for step in STEPS if not step.left_out(config)])


def in_order(steps: Sequence[Step]) -> list[Step]:
    """The steps in their order, but each after those that it reads, directly or through others.

    A stage may read a later one of the list where an option asks for it, so that it is not run before it otherwise.
    """
    by_name = {step.name: step for step in steps}
    ordered: dict[StageName, Step] = {}

    def place(step: Step) -> None:
        for name, other in by_name.items():
            if name in step.reads and name not in ordered:
                place(other)
        ordered.setdefault(step.name, step)

    for step in steps:
        place(step)
    return list(ordered.values())


def select(steps: Sequence[Step], selection: Selection) -> list[Step]:
    """The steps to run.

    Raises:
        UserError: `only` names a stage that depends on one that is not done, or `redo` one that is not to run.
    """
    if selection.redo is not None and selection.redo not in names(chosen_of(steps, selection)):
        raise UserError(f"--redo {selection.redo} would remove what --only or --until keeps from being made again")
    if selection.only is not None:
        for step in needed_by(steps, selection.only):
            if not step.is_done():
                raise UserError(f"--only {selection.only}: stage {step.name} before it is not done; use --until")
    return chosen_of(steps, selection)


def chosen_of(steps: Sequence[Step], selection: Selection) -> list[Step]:
    """The steps that `only` and `until` leave."""
    if selection.only is not None:
        return [steps[index_of(steps, selection.only)]]
    last = len(steps) if selection.until is None else index_of(steps, selection.until) + 1
    return list(steps[:last])


def needed_by(steps: Sequence[Step], stage: StageName) -> list[Step]:
    """The steps that a stage depends on, directly or through others, in order."""
    index = index_of(steps, stage)
    needed = {stage}
    for step in reversed(steps[: index + 1]):
        if step.name in needed:
            needed.update(step.reads, [step.grows_with] if step.grows_with else [])
    return [step for step in steps[:index] if step.name in needed]


def index_of(steps: Sequence[Step], stage: StageName) -> int:
    """Position of a stage; raises UserError if the run leaves it out."""
    if stage not in names(steps):
        left_out = {step.name: step.left_out(steps[0].config) for step in STEPS}
        raise UserError(f"{stage} is not a stage of this run: {left_out.get(stage) or 'there is no such stage'}")
    return names(steps).index(stage)


def names(steps: Sequence[Step]) -> list[StageName]:
    """The names of the steps."""
    return [step.name for step in steps]
