"""How far every step of a run is and what is left of it, for plan, status and run. It changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from augment.errors import UserError
from pipeline.stages.step import Size, StageName, Step
from pipeline.store import CorruptStore, FingerprintMismatch, Totals
from pipeline.workspace.artifact import ArtifactMismatch


@dataclass(frozen=True)
class Standing:
    """How far a step is.

    Attributes:
        step: the step.
        done: whether a run would do nothing.
        made: what a run would not make again.
        size: how much there will be in all; None if unknown.
        blocked_by: the first stage that is not done and that this one depends on, or None.
        unsettled: whether there are results whose validity is known only when ``blocked_by`` is done.
        unknown: why ``size`` is unknown.
        unchecked: why the results could not be compared with what is requested.
        refused: why a run would refuse the results.
    """

    step: Step
    done: bool
    made: Totals | int
    size: Size | None
    blocked_by: StageName | None = None
    unsettled: bool = False
    unknown: str = ""
    unchecked: str = ""
    refused: str = ""


def survey(steps: Sequence[Step]) -> list[Standing]:
    """How far each of these steps is, if all others are done.

    Raises:
        UserError: results of a step were made from other inputs, or something that it needs is missing.
    """
    standings: list[Standing] = []
    for step in steps:
        found = _standing(step, standings)
        standings.append(replace(found, size=_size(found)))
    return standings


def survey_so_far(steps: Sequence[Step]) -> list[Standing]:
    """The same without the dataset and the models, which may have moved: results count as they are.

    Raises:
        CorruptStore: a store is damaged.
    """
    standings: list[Standing] = []
    for step in steps:
        try:
            found = _standing(step, standings)
        except (ArtifactMismatch, FingerprintMismatch) as error:
            found = replace(_as_it_is(step), refused=_line(error))
        # A file that the configuration names and that cannot be read gives a ValueError.
        except (UserError, OSError, ValueError, CorruptStore) as error:
            found = replace(_as_it_is(step), unchecked=_line(error))
        try:
            found = replace(found, size=_size(found))
        except (UserError, OSError, ValueError) as error:
            found = replace(found, unknown=_line(error))
        standings.append(found)
    return standings


def _standing(step: Step, before: Sequence[Standing]) -> Standing:
    undone = {standing.step.name: standing for standing in before if not standing.done}
    blocking = next((undone[name] for name in undone if _blocks(undone[name], step)), None)
    if blocking is not None:
        made = step.reusable(frozenset(undone), blocked=True)
        return Standing(step, False, made, None, blocking.blocked_by or blocking.step.name, step.is_begun())
    if step.grows_with in undone:
        step.refuse_others()
        # Its plan follows the existing shards of that stage, and their number will change.
        made = step.made()
        done = isinstance(made, Totals) and made.shards == step.size().units
    else:
        done = step.is_done()
    if done:
        return Standing(step, True, step.made(), None)
    return Standing(step, False, step.reusable(frozenset(undone), blocked=False), None)


def _blocks(undone: Standing, step: Step) -> bool:
    """Whether nothing is known about a step before this one is done."""
    if undone.step.name in step.reads:
        return True
    # A store keeps its shards while the store that it follows grows.
    return undone.step.name == step.grows_with and not (undone.blocked_by is None and undone.step.is_begun())


def _as_it_is(step: Step) -> Standing:
    """A step as if its results were what is requested, because that cannot be checked."""
    return Standing(step, step.is_whole(), step.made(), None)


def _size(found: Standing) -> Size:
    """How much there will be; for a step that is done, how much there is, which may be more than was planned."""
    if found.done and not found.unchecked and not found.refused and isinstance(found.made, Totals):
        made = found.made
        return Size(made.shards, made.samples + made.failures + made.dropped)
    return found.step.size()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
