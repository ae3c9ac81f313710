"""A terminal shows a bar, anything else gets lines; both say how far, how fast, how long and what failed."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipeline.engine.progress import shard_progress
from pipeline.store import Receipt


def receipt(number: int, failures: int, seconds: float = 1.0) -> Receipt:
    return Receipt(f"train-{number:06d}", "", 8 - failures, 0, failures, 0, seconds, 0.0, "", None, "")


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
    for part in ("generate", "4/5", "15 samples", "samples/s", "1 failed", "left"):
        assert part in text


def test_without_a_terminal_each_shard_is_one_line() -> None:
    first, second = shown(False).splitlines()
    assert first.startswith("generate: 3/5 shards, train-000002 written; this run: 7 samples, 1 failed, ")
    assert second.startswith("generate: 4/5 shards, train-000003 written; this run: 15 samples, 1 failed, ")


def test_time_left_and_rate_count_from_the_beginning_of_the_first_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("pipeline.engine.progress.time.monotonic", lambda: now)
    lines: list[str] = []
    with shard_progress("generate", 5, 0, lines.append, Console(file=io.StringIO())) as tick:
        # A cluster has started for a minute; then two workers take a second and two seconds for their shards.
        now = 61.0
        tick(receipt(0, 0, seconds=1.0))
        now = 62.0
        tick(receipt(1, 0, seconds=2.0))
    assert lines[0].endswith("8 samples/s, 0:00:04 left")
    assert lines[1].endswith("8 samples/s, 0:00:03 left")
