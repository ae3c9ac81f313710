"""What the user sees of a run: a bar on a terminal, lines elsewhere, and the remarks of workers."""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from augment.progress import TrainingStep
from pipeline.store import Receipt

# Between two lines of one training.
LINE_SECONDS = 30.0

OnReceipt: TypeAlias = Callable[[Receipt], None]

OnTrainingStep: TypeAlias = Callable[[str, TrainingStep], None]
"""Takes the title of a training, empty if it is the only one, and a step of it."""

_REMARKS: queue.SimpleQueue[str] = queue.SimpleQueue()


@contextmanager
def shard_progress(
    name: str, total: int, done: int, report: Callable[[str], None], console: Console | None = None
) -> Iterator[OnReceipt]:
    """Give a function to call with each receipt; ``done`` of the ``total`` shards were there before.

    ``console`` is standard error unless given; where it is no terminal, ``report`` gets a line for each shard.
    """
    figures = _ShardFigures(total, done)
    console = console or Console(stderr=True)
    if not console.is_terminal:

        def line(receipt: Receipt) -> None:
            figures.add(receipt)
            report(f"{name}: {figures.done}/{total} shards, {receipt.shard} written; this run: {figures}")

        yield line
        return
    with _bars(console) as bar:
        task = bar.add_task(name, total=total, completed=done, figures="")

        def advance(receipt: Receipt) -> None:
            figures.add(receipt)
            bar.update(task, advance=1, figures=str(figures))

        yield advance


@contextmanager
def training_progress(
    stage: str, report: Callable[[str], None], console: Console | None = None, line_seconds: float = LINE_SECONDS
) -> Iterator[OnTrainingStep]:
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
            name, now = _training_name(stage, title, step), time.monotonic()
            if step.is_last or now - last.get(name, float("-inf")) >= line_seconds:
                last[name] = now
                report(f"{name}: {describe_step(step)}")

        yield line
        return
    with _bars(console) as shown:
        tasks: dict[str, TaskID] = {}

        def advance(title: str, step: TrainingStep) -> None:
            name = _training_name(stage, title, step)
            if name not in tasks:
                tasks[name] = shown.add_task(name, total=step.total, figures="")
            shown.update(tasks[name], completed=step.step, figures=_step_figures(step))

        yield advance


def describe_step(step: TrainingStep) -> str:
    """Steps, losses, rate and time left, in a line."""
    return f"{step.noun} {step.step}/{step.total}, {_step_figures(step)}".removesuffix(", ")


def remark(line: str) -> None:
    """Send a line to the user from any thread of a worker; the driver reports it after the unit."""
    _REMARKS.put(line)


def take_remarks() -> list[str]:
    """The lines of this process since the last call, in order."""
    lines = []
    while not _REMARKS.empty():
        lines.append(_REMARKS.get())
    return lines


def _bars(console: Console) -> Progress:
    """Bars with a name, how many are done, and the field ``figures``.

    Lines that are printed meanwhile go above them on a terminal, and into the file where output is redirected.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty())


class _ShardFigures:
    """Sums over the shards of this run so far, all workers together, and the rate since the first of them began.

    The time before that, such as the start of a cluster or the loading of a model, does not predict the shards to come.
    """

    def __init__(self, total: int, done: int) -> None:
        self._total = total
        self._before = self.done = done
        self._samples = self._failures = 0
        self._entered = time.monotonic()
        self._started = float("inf")

    def add(self, receipt: Receipt) -> None:
        # A receipt that a retry continues includes the time of earlier runs.
        begun = max(self._entered, time.monotonic() - receipt.seconds)
        self._started = min(self._started, begun)
        self.done += 1
        self._samples += receipt.samples
        self._failures += receipt.failures

    def __str__(self) -> str:
        seconds = max(time.monotonic() - self._started, 1e-9)
        text = f"{self._samples} samples, {self._failures} failed, {self._samples / seconds:.3g} samples/s"
        left = seconds / (self.done - self._before) * (self._total - self.done)
        return f"{text}, {timedelta(seconds=round(left))} left" if left else text


def _training_name(stage: str, title: str, step: TrainingStep) -> str:
    return ": ".join(part for part in (stage, title, step.phase) if part)


def _step_figures(step: TrainingStep) -> str:
    parts = [f"{name} {value:.4g}" for name, value in step.losses.items()]
    if step.rate > 0:
        parts.append(f"{step.rate:.3g} {step.noun}s/s")
    if step.seconds_left and not step.is_last:
        parts.append(f"{timedelta(seconds=round(step.seconds_left))} left")
    return ", ".join(parts)
