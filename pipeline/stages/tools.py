"""What a step uses while it runs: the executor, the error budget, and the report of its progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from augment.progress import TrainingStep
from pipeline.engine import ErrorBudget, Executor, TrainingTask, WorkUnit, make_executor, training_progress

if TYPE_CHECKING:
    from pipeline.config import Config

R = TypeVar("R")


@dataclass
class Tools:
    """What a step uses while it runs."""

    config: Config
    report: Callable[[str], None]

    @cached_property
    def executor(self) -> Executor:
        """The executor of the run, started when the first step needs it."""
        return make_executor(self.config.cluster.executor, self.config.cluster.address, self.report)

    @property
    def budget(self) -> ErrorBudget:
        """How many bad samples a stage may meet."""
        return self.config.error_budget

    def train(
        self, task: TrainingTask[R], units: Mapping[str, WorkUnit], on_result: Callable[[R], None] | None = None
    ) -> list[R]:
        """Train units, and show the progress of each.

        Args:
            task: the training.
            units: title -> unit; the title is empty if there is only one.
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
