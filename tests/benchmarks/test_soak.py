"""Kills at random moments across the stages of a run cost time, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("kills", "serial_share"), [(6, 0.0), (6, 1.0)], ids=["ray", "serial"])
def test_a_run_that_is_killed_repeatedly_loses_and_doubles_nothing(kills: int, serial_share: float) -> None:
    arguments = ["--kills", str(kills), "--units", "8", "--samples", "8", "--serial-share", str(serial_share)]
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "soak.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert sum(figures["kills"].values()) == kills
    assert figures["samples"] > 0
    assert {name: figures[name] for name in ("lost", "doubled", "changed_shards", "faults")} == {
        "lost": 0,
        "doubled": 0,
        "changed_shards": 0,
        "faults": 0,
    }
