"""What a stage, a source and a task are to the engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from augment.errors import UserError
from pipeline.engine.outcome import Failed, Outcome
from pipeline.engine.unit import WorkUnit
from pipeline.store import Sample

R_co = TypeVar("R_co", covariant=True)


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


def keys_a_read(source: Source) -> int:
    """How many successive keys of a source come of one file and are best read together; one, unless it says so."""
    return int(getattr(source, "keys_a_read", 1))


def units_at_once(task: UnitTask[object]) -> int:
    """How many units of a task a worker may have in hand; one, unless it says that ``run`` bears more."""
    return int(getattr(task, "units_at_once", 1))
