"""What a command prints that refuses a run."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pipeline.cli import guarded


def refusal(command: str, recipe: str, overrides: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line in which a command refuses a recipe with these overrides, with exit code 2."""
    capsys.readouterr()
    assert guarded([command, recipe, *overrides]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message
