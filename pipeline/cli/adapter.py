"""`lumen adapter`: take the adapter of a workspace elsewhere."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.cli.shared import add_workspace, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action, the workspace and the destination."""
    parser.add_argument("action", choices=("export",), help="export: write it with its basis and a model card")
    add_workspace(parser)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder that does not exist yet, or is empty")


def run(options: argparse.Namespace, _overrides: Sequence[str]) -> int:
    """Write the adapter, and print how to use it."""
    from pipeline.export.adapter import export_adapter
    from pipeline.workflow.kept_config import read_config

    export_adapter(read_config(options.workspace, done=True), options.folder)
    say(f"{options.folder}: use it with generator.adapter={options.folder}")
    return 0
