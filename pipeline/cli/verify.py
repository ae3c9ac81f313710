"""`lumen verify`: check a store or a workspace."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.cli.shared import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the store or the workspace."""
    parser.add_argument("path", metavar="PATH", help="folder or URL of a store, or a workspace")


def run(options: argparse.Namespace, _overrides: Sequence[str]) -> int:
    """Print each fault, and what was checked; return 1 where a fault was found."""
    from pipeline.workflow.verify import verify

    found = verify(options.path)
    for line in (*found.faults, *found.checked):
        say(line)
    if found.unchecked:
        say(f"not checked: {', '.join(found.unchecked)}")
    if found.outdated:
        say(found.outdated)
    say(f"{len(found.faults) or 'no'} fault{'s' if len(found.faults) > 1 else ''}")
    return 1 if found.faults else 0
