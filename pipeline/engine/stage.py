"""All that the author of a stage reads: work units, outcomes, resources, and what a stage, a source and a task are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, TypeVar

from augment.errors import UserError
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
        """The SHA-256 of all of it."""
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
    """A sample to write; its key may be new, where a stage makes several samples of one.

    ``notes`` say what happened to it in a few words that many samples share; the summary of the run counts them.
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


@dataclass(frozen=True)
class Resources:
    """What the workers of a stage take; never part of a fingerprint.

    ``num_cpus`` and ``num_gpus`` are per worker. ``workers`` "auto" is the largest pool that fits the
    cluster. ``threads`` is the number of torch threads in a worker; None divides the cores among the workers.
    ``unit_timeout`` is how many seconds a worker may go without ending a unit before it is taken for hung, and
    ``setup_timeout`` how many its ``setup`` may take, which the former does not count; None waits for ever.
    Raises UserError for numbers out of range.
    """

    num_cpus: float = 1
    num_gpus: float = 0
    workers: int | Literal["auto"] = "auto"
    threads: int | None = None
    unit_timeout: float | None = None
    setup_timeout: float | None = None

    def __post_init__(self) -> None:
        if self.num_cpus <= 0 or self.num_gpus < 0:
            raise UserError(f"resources: num_cpus must be above 0 and num_gpus at least 0, got {self}")
        if self.workers != "auto" and self.workers < 1:
            raise UserError(f'resources: workers must be "auto" or at least 1, got {self.workers}')
        if self.threads is not None and self.threads < 1:
            raise UserError(f"resources: threads must be at least 1, got {self.threads}")
        for name, seconds in (("unit_timeout", self.unit_timeout), ("setup_timeout", self.setup_timeout)):
            if seconds is not None and seconds <= 0:
                raise UserError(f"resources: {name} must be above 0 seconds, got {seconds}")


class Stage(Protocol):
    """Maps batches of samples to outcomes; imports no Ray, opens no data file, is small before ``setup``."""

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


class Source(Protocol):
    """Reads the input samples of a unit, in several threads at once."""

    def read(self, unit: WorkUnit) -> Iterator[Sample | Failed]:
        """One item for each of the unit's keys in their order, each bad sample as a Failed. Raising ends the run.

        The keys may be a part of those that the unit was planned with.
        """


class UnitTask(Protocol[R_co]):
    """What an executor runs for each unit. It is pickled to the workers, and its small result back."""

    @property
    def name(self) -> str:
        """The stage, as the user knows it."""

    @property
    def resources(self) -> Resources:
        """What one worker takes."""

    def setup(self) -> None:
        """Called once in each worker, before the first unit."""

    def run(self, unit: WorkUnit) -> R_co:
        """Do the unit. It may be called again for the same unit where a worker was lost."""


class TrainingTask(Protocol[R_co]):
    """What an executor trains for each unit. It is pickled to the workers, and its small result back."""

    @property
    def name(self) -> str:
        """The stage, as the user knows it."""

    @property
    def resources(self) -> Resources:
        """What one training takes; a training hangs where ``unit_timeout`` seconds bring no step."""

    def setup(self) -> None:
        """Called once in each worker, before the unit."""

    def train(self, unit: WorkUnit, on_step: OnStep) -> R_co:
        """Train the unit, and call ``on_step`` after every step.

        Called again for the same unit where a worker was lost: it goes on from the last checkpoint then.
        """


OnUnitStep: TypeAlias = Callable[[WorkUnit, TrainingStep], None]


def keys_a_read(source: Source) -> int:
    """How many successive keys of a source come of one file and are best read together; one, unless it says so."""
    return int(getattr(source, "keys_a_read", 1))


def units_at_once(task: UnitTask[object]) -> int:
    """How many units of a task a worker may have in hand; one, unless it says that ``run`` bears more."""
    return int(getattr(task, "units_at_once", 1))
