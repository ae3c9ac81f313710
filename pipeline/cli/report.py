"""`lumen report`: write the HTML report of a workspace."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.cli.shared import add_workspace as add_arguments
from pipeline.cli.shared import say

__all__ = ["add_arguments", "run"]


def run(options: argparse.Namespace, _overrides: Sequence[str]) -> int:
    """Write the page and print its path."""
    from downstream.report import build_report
    from pipeline.workflow.kept_config import read_config
    from pipeline.workspace.workspace import Workspace

    config = read_config(options.workspace, done=True)
    space = Workspace.of(config)
    page = build_report(space.root, split=config.evaluate.split, store_root=space.store_root, name=config.name)
    say(f"report: {page}")
    return 0
