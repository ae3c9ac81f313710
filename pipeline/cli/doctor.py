"""`lumen doctor`: show what this machine can run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.cli.shared import say


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(_options: argparse.Namespace, _overrides: Sequence[str]) -> int:
    """Print a line for each finding; return 1 where something is missing."""
    from pipeline.workflow.doctor import examine

    findings = examine(Path.cwd())
    for finding in findings:
        say(f"{'ok     ' if finding.ok else 'MISSING'}  {finding.name}: {finding.detail}")
    return 0 if all(finding.ok for finding in findings) else 1
