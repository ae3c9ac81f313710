"""A terminal shows a bar for each training, anything else gets a line now and then; both say how far and how long."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from augment.progress import TrainingStep
from pipeline.engine.training_progress import describe, training_progress


def step(number: int, total: int = 4, phase: str = "") -> TrainingStep:
    return TrainingStep(number, total, {"loss": 0.25}, 2.0, phase)


def shown(terminal: bool, line_seconds: float) -> str:
    stream, lines = io.StringIO(), list[str]()
    console = Console(file=stream, force_terminal=terminal, width=140)
    with training_progress("compare", lines.append, console, line_seconds) as watch:
        for number in (1, 2, 3, 4):
            watch("real, seed 0", step(number))
            watch("real, seed 1", step(number))
        watch("real, seed 0", step(1, 1, "validation"))
    assert terminal == (lines == [])
    return stream.getvalue() if terminal else "\n".join(lines)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_step_loss_rate_and_time_left_of_each_training(terminal: bool) -> None:
    text = shown(terminal, 0)
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


def test_without_a_terminal_lines_come_at_first_at_last_and_now_and_then() -> None:
    lines = [line.partition(", loss")[0] for line in shown(False, 3600).splitlines()]
    assert lines == [
        "compare: real, seed 0: step 1/4",
        "compare: real, seed 1: step 1/4",
        "compare: real, seed 0: step 4/4",
        "compare: real, seed 1: step 4/4",
        "compare: real, seed 0: validation: step 1/1",
    ]


def test_line_of_a_step_names_what_is_left() -> None:
    assert describe(step(1)) == "step 1/4, loss 0.25, 2 steps/s, 0:00:02 left"
    assert describe(step(4)) == "step 4/4, loss 0.25, 2 steps/s"
    assert describe(TrainingStep(0, 4, {}, 0.0)) == "step 0/4"


def test_lines_that_are_printed_meanwhile_stay_in_the_file_that_output_goes_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=140)
    with training_progress("compare", print, console) as watch:
        watch("real, seed 0", step(1))
        print("compare: real, seed 0: mIoU 0.182")
    assert capsys.readouterr().out == "compare: real, seed 0: mIoU 0.182\n"
