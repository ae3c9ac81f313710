"""What every stage declares of itself, and what a run asks of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from augment.options import Options
from pipeline.engine import Resources
from pipeline.stages.job import Job
from pipeline.stages.tools import Tools
from pipeline.store import JSON, Totals
from pipeline.workspace.mismatch import content_of
from pipeline.workspace.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.config import Config

# The name of a stage: that of a step in `pipeline.stages.registry`.
StageName = str


@dataclass(frozen=True)
class Size:
    """How much a step makes: work units, and samples if it writes a store."""

    units: int
    samples: int


class Step(ABC):
    """One stage of a run: what it makes, from what, whether that is done, and how to do it.

    All but `run`, `retry` and `reset` change nothing and load no model.

    Attributes:
        name: of the stage.
        output: what its store or artifact is called in the workspace.
        title: the same in a message, such as `the real store`.
        prepared: artifacts that it makes for itself on the way.
        lineage: those of them that are reported as outdated when their inputs have changed; a run simply makes the
            others again.
        input_names: what its inputs are called in messages; see `describe_changes`.
        section: the section of the configuration with its own options; empty if `Config` has a field for them.
        section_options: their class.
        needs_labels: whether it trains on labels, or compares with them.
        needs_held_out: whether it needs a held-out split to measure on.
        trains: whether its work is trainings, for which no CPU slot is reserved to read with.
        only_by_run: whether only a run writes its results, so that they can be verified.
        in_workers: whether workers do its work, and not the command itself.
    """

    name: ClassVar[str]
    output: ClassVar[str]
    title: ClassVar[str]
    prepared: ClassVar[tuple[str, ...]] = ()
    lineage: ClassVar[tuple[str, ...]] = ()
    input_names: ClassVar[Mapping[str, str]] = {}
    section: ClassVar[str] = ""
    section_options: ClassVar[type[Options] | None] = None
    needs_labels: ClassVar[bool] = False
    needs_held_out: ClassVar[bool] = False
    trains: ClassVar[bool] = False
    only_by_run: ClassVar[bool] = True
    in_workers: ClassVar[bool] = True

    def __init__(self, job: Job) -> None:
        self.job = job
        self.config = job.config
        self.workspace = job.workspace

    # What it depends on

    @property
    def reads(self) -> Collection[str]:
        """The stages that its inputs and its plan depend on."""
        return ()

    @property
    def grows_with(self) -> str | None:
        """The stage whose shards it makes one shard each of, which may grow; None for any other."""
        return None

    @classmethod
    def left_out(cls, config: Config) -> str:
        """Why a run with this configuration leaves the stage out, and what to set; empty if it does not."""
        if cls.needs_held_out and config.evaluate.split is None:
            return "evaluate.split is null; name a labelled split that is held out"
        return ""

    # What is there

    @classmethod
    @abstractmethod
    def digest_in(cls, workspace: Workspace) -> JSON | None:
        """The digest that inputs of later results hold of this one; None if it is missing or incomplete."""

    @classmethod
    @abstractmethod
    def inputs_in(cls, workspace: Workspace, name: str) -> Mapping[str, JSON]:
        """What the output, or a prepared artifact, was made from; empty if it is missing."""

    @abstractmethod
    def is_done(self) -> bool:
        """Whether nothing is left to do; called only when the stages that it reads are done.

        Raises:
            UserError: the results were made from other inputs.
        """

    @abstractmethod
    def refuse_others(self) -> None:
        """Raise UserError if the results were made from other inputs; called only when `is_done` may be called."""

    @abstractmethod
    def is_begun(self) -> bool:
        """Whether any of its results is there, whatever the inputs."""

    @abstractmethod
    def is_whole(self) -> bool:
        """Whether all results are there, as far as that shows without its plan, whatever the inputs."""

    @abstractmethod
    def made(self) -> Totals | int:
        """Sums over the shards, or the number of finished units of an artifact, whatever the inputs."""

    @abstractmethod
    def reusable(self, undone: frozenset[str], *, blocked: bool) -> Totals | int:
        """What a run would not make again of a step that is not done.

        Args:
            undone: the stages before it that are not done.
            blocked: whether it reads one of them, so that little is known.
        """

    # What a run does

    def check_settings(self) -> None:  # noqa: B027 - most stages have nothing to check
        """Check what the configuration says of the stage, whether it is done or not, before anything is written.

        Raises:
            UserError: it names something that is missing or does not fit.
        """

    def check_names(self) -> None:  # noqa: B027 - most stages load no model
        """Check that the models which the stage loads are here or on the hub, without importing a library for them.

        Raises:
            UserError: one is not.
        """

    def check_models(self) -> None:  # noqa: B027 - most stages load no model
        """Check that the models which the stage loads exist and fit together, by their configurations.

        Raises:
            UserError: one is neither here nor on the hub, is of another sort, or does not fit the others.
        """

    def check(self, left: Sequence[Step]) -> list[str]:  # noqa: ARG002 - for subclasses
        """Check what else the stage needs from outside, before anything is written; called only if it is left to do.

        Args:
            left: all steps that are left to do.

        Returns:
            Remarks for the user, a line each.

        Raises:
            UserError: a dataset or model is missing, or does not fit.
        """
        return []

    @abstractmethod
    def size(self) -> Size:
        """How much the step makes in all, whether anything exists yet or not."""

    @abstractmethod
    def parts(self) -> int:
        """Pieces of work that the workers share; no more workers than that are started."""

    @abstractmethod
    def run(self, tools: Tools) -> str:
        """Do what is left; returns what was done, in a few words."""

    @abstractmethod
    def require_own(self) -> None:
        """Raise UserError if something that the step has not made is in the place of its results."""

    def require_resettable(self) -> None:
        """Raise UserError if `reset` would refuse to remove something, so that a refusal comes before any removal."""
        self.require_own()

    @abstractmethod
    def reset(self) -> None:
        """Remove the results; see `require_resettable`."""

    # What its workers take

    @property
    def resources(self) -> Resources:
        """Resources of one worker."""
        return self.config.cluster.resources(self.name)

    @property
    def for_stage(self) -> dict[str, Any]:
        """Arguments of a worker without a model."""
        return {"resources": self.resources, "batch_size": self.resources.batch_size}

    @property
    def for_training(self) -> dict[str, Any]:
        """Arguments of a worker that trains."""
        return {"resources": self.resources, "device": self.resources.device}

    @property
    def for_model(self) -> dict[str, Any]:
        """Arguments of a worker that applies a model."""
        return {**self.for_stage, **self.for_training}


def contents_of(*steps: type[Step]) -> dict[str, str]:
    """Names of inputs that are the results of earlier stages."""
    return {step.output: content_of(step.title) for step in steps}
