"""Progress of a run: a bar on a terminal, a line for each shard elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.store import Receipt

Tick = Callable[[Receipt], None]


@contextmanager
def shard_progress(name: str, total: int, done: int, report: Callable[[str], None]) -> Iterator[Tick]:
    """Give a function to call with each receipt; ``done`` of the ``total`` shards were there before."""
    started = time.monotonic()
    samples = failures = shards = 0

    def count(receipt: Receipt) -> str:
        nonlocal samples, failures, shards
        shards += 1
        samples += receipt.samples
        failures += receipt.failures
        rate = samples / max(time.monotonic() - started, 1e-9)
        return f"{samples} samples, {rate:.3g}/s, {failures} failed"

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda receipt: report(
            f"{name}: {done + shards + 1}/{total} {receipt.shard}, {receipt.samples} samples; so far {count(receipt)}"
        )
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(name, total=total, completed=done, figures="")
        yield lambda receipt: bar.update(task, advance=1, figures=count(receipt))
