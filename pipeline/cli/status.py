"""`lumen status`: show the progress of a workspace."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.cli.shared import add_json, add_workspace, as_json, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the workspace."""
    add_workspace(parser)
    add_json(parser)


def run(options: argparse.Namespace, _overrides: Sequence[str]) -> int:
    """Print a line for each stage; neither the dataset nor a model is needed."""
    from pipeline.stages.store_step import StoreStep
    from pipeline.workflow.kept_config import read_config
    from pipeline.workflow.outdated import outdated
    from pipeline.workflow.progress import progress_so_far, status_table
    from pipeline.workflow.run import heading
    from pipeline.workflow.selection import steps_of
    from pipeline.workspace.workspace import Workspace

    config = read_config(options.workspace, done=True)
    steps = steps_of(config)
    rows = progress_so_far(steps)
    remedies = {step.name: step.remedy() for step in steps if isinstance(step, StoreStep)}
    if options.json:
        say(as_json(rows))
        return 0
    say("\n".join([heading(config), *status_table(rows, remedies)]))
    if line := outdated(Workspace.of(config)):
        say(line)
    return 0
