"""What a step uses while it runs: the executor, the error budget, and the report of its progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
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

    def count(self, task: TrainingTask[R], units: Sequence[WorkUnit], total: int, noun: str) -> list[R]:
        """Do units of one computation, and show the steps of all together.

        Args:
            task: the computation.
            units: its parts.
            total: steps of all units.
            noun: what a step is called, in the singular.

        Returns:
            The results in the order of the units.
        """
        found: dict[str, R] = {}
        steps = StepsOfAll(total, noun)
        with training_progress(task.name, self.report) as watch:
            watch("", steps.so_far)

            def on_step(unit: WorkUnit, step: TrainingStep) -> None:
                steps.take(unit, step)
                watch("", steps.so_far)

            with closing(self.executor.train(task, units, on_step)) as results:
                found.update((unit.shard, result) for unit, result in results)
        return [found[unit.shard] for unit in units]


class StepsOfAll:
    """Adds up the steps of several units; the rate counts from the first of them."""

    def __init__(self, total: int, noun: str) -> None:
        self._total, self._noun = total, noun
        self._done: dict[str, int] = {}
        self._first: tuple[int, float] | None = None

    def take(self, unit: WorkUnit, step: TrainingStep) -> None:
        """A unit has done a step."""
        self._done[unit.shard] = step.step
        if self._first is None:
            # The start of the workers, and the loading of their models, do not predict the steps to come.
            self._first = step.step, time.monotonic()

    @property
    def so_far(self) -> TrainingStep:
        """The sum of the steps that were taken so far."""
        done, rate = sum(self._done.values()), 0.0
        if self._first is not None:
            before, started = self._first
            rate = (done - before) / max(time.monotonic() - started, 1e-9)
        return TrainingStep(done, self._total, {}, max(0.0, rate), noun=self._noun)
