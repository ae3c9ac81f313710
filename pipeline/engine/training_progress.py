"""Progress of trainings: a bar for each on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import TaskID

from augment.progress import TrainingStep
from pipeline.engine.progress import bars

# Between two lines of one training.
LINE_SECONDS = 30.0

Watch = Callable[[str, TrainingStep], None]
"""Takes the title of a training, empty where there is only one, and a step of it."""


@contextmanager
def training_progress(
    stage: str, report: Callable[[str], None], console: Console | None = None, line_seconds: float = LINE_SECONDS
) -> Iterator[Watch]:
    """Give a function to call with the steps of one or several trainings.

    Args:
        stage: what the trainings are for.
        report: takes a line where `console` is no terminal: at the first step of a training, every `line_seconds`,
            and at the last step.
        console: standard error unless given.
        line_seconds: seconds between the lines of one training.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal:
        last: dict[str, float] = {}

        def line(title: str, step: TrainingStep) -> None:
            name, now = _name(stage, title, step), time.monotonic()
            if step.is_last or now - last.get(name, float("-inf")) >= line_seconds:
                last[name] = now
                report(f"{name}: {describe(step)}")

        yield line
        return
    with bars(console) as shown:
        tasks: dict[str, TaskID] = {}

        def advance(title: str, step: TrainingStep) -> None:
            name = _name(stage, title, step)
            if name not in tasks:
                tasks[name] = shown.add_task(name, total=step.total, figures="")
            shown.update(tasks[name], completed=step.step, figures=_figures(step))

        yield advance


def describe(step: TrainingStep) -> str:
    """Steps, losses, rate and time left, in a line."""
    return f"step {step.step}/{step.total}, {_figures(step)}".removesuffix(", ")


def _name(stage: str, title: str, step: TrainingStep) -> str:
    return ": ".join(part for part in (stage, title, step.phase) if part)


def _figures(step: TrainingStep) -> str:
    parts = [f"{name} {value:.4g}" for name, value in step.losses.items()]
    if step.rate > 0:
        parts.append(f"{step.rate:.3g} steps/s")
    if step.seconds_left and not step.is_last:
        parts.append(f"{timedelta(seconds=round(step.seconds_left))} left")
    return ", ".join(parts)
