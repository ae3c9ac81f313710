"""`lumen quarantine`: list the samples that failed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from pipeline.cli.shared import add_json, add_stage, add_workspace, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the workspace and the stage."""
    add_workspace(parser)
    add_stage(parser, "--stage", "only the samples of this stage")
    add_json(parser, "print JSON, with the traceback of each")


def run(options: argparse.Namespace, _overrides: Sequence[str]) -> int:
    """Print each quarantined sample with the full reason."""
    from pipeline.workflow.quarantine import lines_of, quarantined

    found = quarantined(options.workspace, options.stage)
    shown = json.dumps([each.to_json() for each in found], indent=2)
    say(shown if options.json else "\n".join(lines_of(found, options.workspace)))
    return 0
