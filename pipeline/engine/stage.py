"""All that the author of a stage reads: work units, outcomes, resources, and the protocols of stages and tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, TypeGuard, TypeVar

from pydantic import Field

from augment.options import Options, Positive, PositiveFloat
from augment.progress import OnStep, TrainingStep
from pipeline.store import JSON, Sample, canonical_json, fingerprint

R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True)
class WorkUnit:
    """One output shard: its name, the keys of the input samples in order, and parameters of the stage."""

    shard: str
    keys: tuple[str, ...]
    params: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of its content."""
        return fingerprint(self._content())

    def to_json(self) -> str:
        """The unit as JSON."""
        return canonical_json(self._content()).decode("utf-8")

    @classmethod
    def from_json(cls, text: str) -> WorkUnit:
        """The unit that ``to_json`` wrote."""
        content = json.loads(text)
        return cls(content["shard"], tuple(content["keys"]), content["params"])

    def _content(self) -> dict[str, JSON]:
        return {"shard": self.shard, "keys": list(self.keys), "params": dict(self.params)}


@dataclass(frozen=True)
class Ok:
    """A sample to write; its key may be new, where a stage makes several samples from one.

    ``notes`` describe what happened to it, in a few words that many samples share; the summary of the run counts them.
    """

    sample: Sample
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dropped:
    """A sample left out on purpose; the reason starts with its kind and a colon, and is counted by kind."""

    key: str
    reason: str


@dataclass(frozen=True)
class Failed:
    """A sample that could not be read or processed: it is quarantined and counts against the budget."""

    key: str
    reason: str
    traceback: str = ""


Outcome: TypeAlias = Ok | Dropped | Failed


class Resources(Options):
    """What one worker of a stage takes; never part of a fingerprint."""

    num_cpus: float = Field(default=1, gt=0, description="CPU slots per worker")
    num_gpus: float = Field(default=0, ge=0, description="accelerators per worker; above 0 the stage runs on them")
    workers: Literal["auto"] | Positive = Field(default="auto", description="how many; auto is the most that fit")
    threads: Positive | None = Field(
        default=None, description="compute threads per worker; null divides the cores among the workers"
    )
    batch_size: Positive = Field(default=8, description="samples per forward pass")
    unit_timeout: PositiveFloat | None = Field(
        default=None,
        description="seconds without a finished shard, or a step of a training, after which a worker counts as hung "
        "and is replaced (a serial run only warns); null waits for ever",
    )
    setup_timeout: PositiveFloat | None = Field(
        default=None,
        description="seconds that a worker may take to load its model, which unit_timeout does not count; be generous; "
        "null waits for ever",
    )

    @property
    def device(self) -> str:
        """The torch device of a worker: `cuda` if it has an accelerator, else `cpu`."""
        return "cuda" if self.num_gpus else "cpu"


class Stage(Protocol):
    """Maps batches of samples to outcomes. It imports no Ray, opens no data file, and is small before ``setup``."""

    @property
    def name(self) -> str:
        """The stage, as the user knows it."""

    @property
    def resources(self) -> Resources:
        """What one worker takes."""

    @property
    def batch_size(self) -> int:
        """The most samples that ``process`` gets at once."""

    def setup(self) -> None:
        """Load weights; called once in each worker."""

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """The outcomes of a batch, in order; any number for each sample.

        May raise: the batch is then tried again sample by sample, and what raises alone is quarantined. A
        UserError ends the run.
        """


class Pipelined(Stage, Protocol):
    """A stage with an accelerator that is to have work while the host takes care of outcomes and reads the next batch.

    Batch i + 1 begins before the outcomes of batch i are waited for, so at most two are in hand.
    """

    def begin(self, unit: WorkUnit, batch: Sequence[Sample]) -> Callable[[], Sequence[Outcome]]:
        """Begin a batch; what is returned waits for its outcomes.

        Both may raise, as `process` may: the batch then goes to `process`.
        """


class Source(Protocol):
    """Reads the input samples of a unit, in several threads at once."""

    def read(self, unit: WorkUnit) -> Iterator[Sample | Failed]:
        """One item for each of the unit's keys in their order, each bad sample as a Failed. Raising ends the run.

        The keys may be a part of those in the planned unit.
        """


class Task(Protocol):
    """Work that an executor sends to its workers. The task is pickled to them, and its result, which is small, back."""

    @property
    def name(self) -> str:
        """The stage, as the user knows it."""

    @property
    def resources(self) -> Resources:
        """What one worker takes."""

    def setup(self) -> None:
        """Called once in each worker, before the first unit."""


class UnitTask(Task, Protocol[R_co]):
    """A task that an executor runs for each unit."""

    def run(self, unit: WorkUnit) -> R_co:
        """Do the unit. Called again for the same unit where a worker was lost."""


class TrainingTask(Task, Protocol[R_co]):
    """A training, or another long task that reports its steps, which an executor does for each unit.

    It counts as hung after ``unit_timeout`` seconds without a step.
    """

    def train(self, unit: WorkUnit, on_step: OnStep) -> R_co:
        """Train the unit, and call ``on_step`` after every step.

        Called again for the same unit where a worker was lost: it then goes on from the last checkpoint, if it has any.
        """


OnUnitStep: TypeAlias = Callable[[WorkUnit, TrainingStep], None]


def keys_a_read(source: Source) -> int:
    """How many successive keys of a source come from one file and are read together; 1 without that attribute."""
    return int(getattr(source, "keys_a_read", 1))


def is_pipelined(stage: Stage) -> TypeGuard[Pipelined]:
    """Whether a stage can begin a batch before another one has ended."""
    return hasattr(stage, "begin")


def units_at_once(task: UnitTask[object]) -> int:
    """How many units of a task a worker may have in hand; 1 without that attribute."""
    return int(getattr(task, "units_at_once", 1))


def most_workers(task: Task) -> int | None:
    """How many workers may train a unit of a task together; None without that attribute: each unit has its own."""
    found = getattr(task, "most_workers", None)
    return None if found is None else workers_together(task.resources, int(found))


def workers_together(resources: Resources, most: int) -> int:
    """How many workers may train a unit together: `most`, but one if their number is left open and they have no GPU.

    The cores of a machine are better used as threads of one worker.
    """
    return 1 if resources.workers == "auto" and not resources.num_gpus else most
