"""How far every step of a run is and what is left of it: what plan, status and run all go by. It changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from augment.errors import UserError
from pipeline.config import StageName
from pipeline.stages.steps import Size, Step
from pipeline.store import CorruptStore, FingerprintMismatch, Totals
from pipeline.workspace.artifact import ArtifactMismatch


@dataclass(frozen=True)
class Standing:
    """How far a step is.

    Attributes:
        step: which.
        done: whether a run would do nothing.
        made: what a run would not make again.
        size: how much there will be in all; None is not known.
        blocked_by: the first stage that is not done and that this one depends on, or None.
        unsettled: whether something is there of which only ``blocked_by`` will show whether it still holds.
        unknown: why ``size`` is not known.
        unchecked: why what is there could not be compared with what is asked for.
        refused: why a run would refuse what is there.
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
    """How far each of these steps is, all others being done.

    Raises:
        UserError: what is there of a step was made from other inputs, or something that it needs is missing.
    """
    standings: list[Standing] = []
    for step in steps:
        found = _standing(step, standings)
        standings.append(replace(found, size=_size(found)))
    return standings


def survey_so_far(steps: Sequence[Step]) -> list[Standing]:
    """The same of a workspace of which dataset and models may be elsewhere by now: what is there counts as it is.

    Raises:
        CorruptStore: a store is damaged.
    """
    standings: list[Standing] = []
    for step in steps:
        try:
            found = _standing(step, standings)
        except (ArtifactMismatch, FingerprintMismatch) as error:
            found = replace(_as_it_is(step), refused=_line(error))
        # Of a file that the configuration names and that cannot be read, it is a ValueError.
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
        # Its plan follows the shards that are there, and more or fewer of them are to come.
        made = step.made()
        done = isinstance(made, Totals) and made.shards == step.size().units
    else:
        done = step.is_done()
    if done:
        return Standing(step, True, step.made(), None)
    return Standing(step, False, step.reusable(frozenset(undone), blocked=False), None)


def _blocks(undone: Standing, step: Step) -> bool:
    """Whether nothing can be said of a step before this one is done."""
    if undone.step.name in step.reads:
        return True
    # A store keeps the shards that it has while another grows in front of it.
    return undone.step.name == step.grows_with and not (undone.blocked_by is None and undone.step.is_begun())


def _as_it_is(step: Step) -> Standing:
    """A step as if its results were what is asked for, because that cannot be found out."""
    return Standing(step, step.is_whole(), step.made(), None)


def _size(found: Standing) -> Size:
    """How much there will be; of a step that is done, how much there is, of which less may have been planned."""
    if found.done and not found.unchecked and not found.refused and isinstance(found.made, Totals):
        made = found.made
        return Size(made.shards, made.samples + made.failures + made.dropped)
    return found.step.size()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
