"""A terminal shows a bar, anything else gets lines; both say how far, how fast, how long and what failed."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipeline.engine.progress import shard_progress
from pipeline.store import Receipt


def receipt(number: int, failures: int) -> Receipt:
    return Receipt(f"train-{number:06d}", "", 8 - failures, 0, failures, 0, 1.0, 0.0, "", None, "")


def shown(terminal: bool) -> str:
    stream = io.StringIO()
    lines: list[str] = []
    console = Console(file=stream, force_terminal=terminal, width=140)
    with shard_progress("generate", 5, 2, lines.append, console) as tick:
        tick(receipt(2, 1))
        tick(receipt(3, 0))
    assert terminal == (lines == [])
    return stream.getvalue() if terminal else "\n".join(lines)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_tells_shards_samples_rate_failures_and_the_time_left(terminal: bool) -> None:
    text = shown(terminal)
    for part in ("generate", "4/5", "15 samples", "/s", "1 failed", "left"):
        assert part in text


def test_without_a_terminal_each_shard_is_one_line() -> None:
    first, second = shown(False).splitlines()
    assert first.startswith("generate: 3/5 train-000002, 7 samples; so far 7 samples, ")
    assert second.startswith("generate: 4/5 train-000003, 8 samples; so far 15 samples, ")
