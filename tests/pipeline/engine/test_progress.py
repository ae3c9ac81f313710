"""A terminal shows bars, anything else gets lines; both say how far, how fast, how long and what failed."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from augment.progress import TrainingStep
from pipeline.engine.progress import describe_step, shard_progress, training_progress
from pipeline.store import Receipt


def receipt(number: int, failures: int, seconds: float = 1.0) -> Receipt:
    return Receipt(f"train-{number:06d}", "", 8 - failures, 0, failures, 0, seconds, 0.0, "", None, "")


def shown_shards(terminal: bool) -> str:
    stream = io.StringIO()
    lines: list[str] = []
    console = Console(file=stream, force_terminal=terminal, width=140)
    with shard_progress("generate", 5, 2, lines.append, console) as on_receipt:
        on_receipt(receipt(2, 1))
        on_receipt(receipt(3, 0))
    assert terminal == (lines == [])
    return stream.getvalue() if terminal else "\n".join(lines)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_shards_samples_rate_failures_and_the_time_left(terminal: bool) -> None:
    text = shown_shards(terminal)
    for part in ("generate", "4/5", "15 samples", "samples/s", "1 failed", "left"):
        assert part in text


def test_without_a_terminal_each_shard_is_one_line() -> None:
    first, second = shown_shards(False).splitlines()
    assert first.startswith("generate: 3/5 shards, train-000002 written; this run: 7 samples, 1 failed, ")
    assert second.startswith("generate: 4/5 shards, train-000003 written; this run: 15 samples, 1 failed, ")


def test_time_left_and_rate_count_from_the_beginning_of_the_first_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("pipeline.engine.progress.time.monotonic", lambda: now)
    lines: list[str] = []
    with shard_progress("generate", 5, 0, lines.append, Console(file=io.StringIO())) as on_receipt:
        # A cluster has started for a minute; then two workers take a second and two seconds for their shards.
        now = 61.0
        on_receipt(receipt(0, 0, seconds=1.0))
        now = 62.0
        on_receipt(receipt(1, 0, seconds=2.0))
    assert lines[0].endswith("8 samples/s, 0:00:04 left")
    assert lines[1].endswith("8 samples/s, 0:00:03 left")


def step(number: int, total: int = 4, phase: str = "") -> TrainingStep:
    return TrainingStep(number, total, {"loss": 0.25}, 2.0, phase)


def shown_trainings(terminal: bool, line_seconds: float) -> str:
    stream, lines = io.StringIO(), list[str]()
    console = Console(file=stream, force_terminal=terminal, width=140)
    with training_progress("compare", lines.append, console, line_seconds) as on_step:
        for number in (1, 2, 3, 4):
            on_step("real, seed 0", step(number))
            on_step("real, seed 1", step(number))
        on_step("real, seed 0", step(1, 1, "validation"))
    assert terminal == (lines == [])
    return stream.getvalue() if terminal else "\n".join(lines)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_step_loss_rate_and_time_left_of_each_training(terminal: bool) -> None:
    text = shown_trainings(terminal, 0)
    for part in (
        "compare: real, seed 0",
        "compare: real, seed 1",
        "4/4",
        "loss 0.25",
        "2 steps/s",
        "left",
        "validation",
    ):
        assert part in text


def test_without_a_terminal_a_training_has_a_first_a_last_and_few_other_lines() -> None:
    lines = [line.partition(", loss")[0] for line in shown_trainings(False, 3600).splitlines()]
    assert lines == [
        "compare: real, seed 0: step 1/4",
        "compare: real, seed 1: step 1/4",
        "compare: real, seed 0: step 4/4",
        "compare: real, seed 1: step 4/4",
        "compare: real, seed 0: validation: step 1/1",
    ]


def test_line_of_a_step_ends_with_the_time_left() -> None:
    assert describe_step(step(1)) == "step 1/4, loss 0.25, 2 steps/s, 0:00:02 left"
    assert describe_step(step(4)) == "step 4/4, loss 0.25, 2 steps/s"
    assert describe_step(TrainingStep(0, 4, {}, 0.0)) == "step 0/4"
    assert describe_step(TrainingStep(1, 4, {}, 2.0, noun="image")) == "image 1/4, 2 images/s, 0:00:02 left"


def test_lines_that_are_printed_meanwhile_stay_in_the_file_that_output_goes_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=140)
    with training_progress("compare", print, console) as on_step:
        on_step("real, seed 0", step(1))
        print("compare: real, seed 0: mIoU 0.182")
    assert capsys.readouterr().out == "compare: real, seed 0: mIoU 0.182\n"
