"""`lumen adapt`: train the layout adapter of a recipe, and stop there."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from augment.errors import UserError
from pipeline.cli.shared import add_config, config_of, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe, and where to export the adapter to."""
    add_config(parser)
    parser.add_argument(
        "--export", type=Path, metavar="FOLDER", help="write the adapter there too, with its basis and a model card"
    )


def run(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Run what is left up to the adapter, and print where it is."""
    from pipeline.export.adapter import export_adapter, require_empty
    from pipeline.stages.adapt import AdaptStep
    from pipeline.workflow.run import run
    from pipeline.workflow.selection import Selection
    from pipeline.workspace.workspace import Workspace

    config = config_of(options, overrides)
    if not config.adapt.steps:
        raise UserError("adapt.steps=0 trains nothing: give adapt.steps=N")
    if options.export:
        require_empty(options.export)
    run(config, Selection(until=AdaptStep.name), say)
    say(f"adapter: {AdaptStep.path_in(Workspace.of(config))}")
    if options.export:
        export_adapter(config, options.export)
        say(f"exported to {options.export}")
    return 0
