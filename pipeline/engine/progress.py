"""Progress of a run: a bar on a terminal, a line for each shard elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.store import Receipt

Tick = Callable[[Receipt], None]


@contextmanager
def shard_progress(
    name: str, total: int, done: int, report: Callable[[str], None], console: Console | None = None
) -> Iterator[Tick]:
    """Give a function to call with each receipt; ``done`` of the ``total`` shards were there before.

    ``console`` is standard error unless given; where it is no terminal, ``report`` gets a line a shard.
    """
    figures = _Figures(total, done)
    console = console or Console(stderr=True)
    if not console.is_terminal:

        def line(receipt: Receipt) -> None:
            figures.add(receipt)
            report(f"{name}: {figures.done}/{total} shards, {receipt.shard} written; this run: {figures}")

        yield line
        return
    with bars(console) as bar:
        task = bar.add_task(name, total=total, completed=done, figures="")

        def advance(receipt: Receipt) -> None:
            figures.add(receipt)
            bar.update(task, advance=1, figures=str(figures))

        yield advance


def bars(console: Console) -> Progress:
    """Bars with a name, how many are done, and the field ``figures``.

    Lines that are printed meanwhile go above them on a terminal, and stay in a file that output is sent to.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty())


class _Figures:
    """What the shards of this run come to so far, all workers together, from the beginning of the first of them.

    What is waited for before that, such as a cluster or the loading of a model, says nothing of the shards to come.
    """

    def __init__(self, total: int, done: int) -> None:
        self._total = total
        self._before = self.done = done
        self._samples = self._failures = 0
        self._entered = time.monotonic()
        self._started = float("inf")

    def add(self, receipt: Receipt) -> None:
        # A receipt that a retry goes on with counts the time of earlier runs too.
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
