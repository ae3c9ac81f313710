"""What every step of a workflow can be asked, and what it may use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

from augment.progress import TrainingStep
from pipeline.config import Config, StageName
from pipeline.engine.errors import ErrorBudget
from pipeline.engine.executor import Executor, make_executor
from pipeline.engine.stage import TrainingTask, WorkUnit
from pipeline.engine.training_progress import training_progress
from pipeline.store import Totals

R = TypeVar("R")


@dataclass(frozen=True)
class Size:
    """How much a step makes: work units, and samples where it writes a store."""

    units: int
    samples: int


@dataclass
class Tools:
    """What a step may use while it runs."""

    config: Config
    report: Callable[[str], None]

    @cached_property
    def executor(self) -> Executor:
        """The executor of the run, started when the first step asks for it."""
        return make_executor(self.config.cluster.executor, self.config.cluster.address, self.report)

    def train(
        self, task: TrainingTask[R], units: Mapping[str, WorkUnit], on_result: Callable[[R], None] | None = None
    ) -> list[R]:
        """Train units, and show how far each is.

        Args:
            task: the training.
            units: title -> unit; the title is empty where there is only one.
            on_result: called with each result as it comes.

        Returns:
            The results in the order of the units.
        """
        titles = {unit.shard: title for title, unit in units.items()}
        found: dict[str, R] = {}
        with training_progress(task.name, self.report) as watch:

            def on_step(unit: WorkUnit, step: TrainingStep) -> None:
                watch(titles[unit.shard], step)

            with closing(self.executor.train(task, list(units.values()), on_step)) as results:
                for unit, result in results:
                    found[unit.shard] = result
                    if on_result is not None:
                        on_result(result)
        return [found[unit.shard] for unit in units.values()]

    @property
    def budget(self) -> ErrorBudget:
        """How many bad samples a stage may meet."""
        return self.config.error_budget


class Step(Protocol):
    """One stage of a run. All but `run` and `reset` change nothing and load no model."""

    name: StageName
    reads: tuple[StageName, ...]
    grows_with: StageName | None

    def is_done(self) -> bool:
        """Whether nothing is left to do; asked only when the stages that it reads are done.

        Raises:
            UserError: what is there was made from other inputs.
        """
        ...

    def refuse_others(self) -> None:
        """Raise UserError where what is there was made from other inputs; asked only when `is_done` could be."""
        ...

    def is_begun(self) -> bool:
        """Whether anything of it is there, whatever made from."""
        ...

    def is_whole(self) -> bool:
        """Whether all of it is there, as far as that shows without its plan, whatever made from."""
        ...

    def reusable(self, undone: frozenset[StageName], *, blocked: bool) -> Totals | int:
        """What a run would not make again of a step that is not done.

        Args:
            undone: the stages before it that are not done.
            blocked: whether it reads one of them, so that little or nothing can be said.
        """
        ...

    def run(self, tools: Tools) -> str:
        """Do what is left; returns what was done, in a few words."""
        ...

    def reset(self) -> None:
        """Remove what the step made."""
        ...

    def size(self) -> Size:
        """How much the step makes in all, whether or not anything exists yet."""
        ...

    def parts(self) -> int:
        """Pieces of work that its workers share; no more of them are started."""
        ...

    def made(self) -> Totals | int:
        """Sums over the shards there are, or how many units of an artifact are there, whatever made from."""
        ...
