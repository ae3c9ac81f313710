"""`lumen retry`: run quarantined samples again."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.cli.shared import add_stage, add_workspace, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the workspace and the stage."""
    add_workspace(parser)
    add_stage(parser, "stage", "a stage that writes a store")


def run(options: argparse.Namespace, _overrides: Sequence[str]) -> int:
    """Run the samples; return 1 where some failed again."""
    from pipeline.workflow.kept_config import read_config
    from pipeline.workflow.run import retry

    return 1 if retry(read_config(options.workspace), options.stage, say).failures else 0
