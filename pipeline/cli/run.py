"""`lumen run`: run a recipe."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.cli.shared import add_config, add_stage, config_of, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe and the stages to run."""
    add_config(parser)
    part = parser.add_mutually_exclusive_group()
    add_stage(part, "--until", "stop after this stage")
    add_stage(part, "--only", "run this stage alone")
    add_stage(parser, "--redo", "remove the results of this stage and of all later ones, and make them again")


def run(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Run what is left of the chosen stages."""
    from pipeline.stages.report import PAGE, ReportStep
    from pipeline.workflow.run import run
    from pipeline.workflow.selection import Selection
    from pipeline.workspace.workspace import Workspace

    config = config_of(options, overrides)
    run(config, Selection(options.until, options.only, options.redo), say)
    if (options.only or options.until or "report") == "report" and config.evaluate.split is not None:
        say(f"report: {ReportStep.path_in(Workspace.of(config)) / PAGE}")
    return 0
