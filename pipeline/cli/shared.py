"""Arguments and output that several commands share."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augment.errors import UserError

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.workflow.progress import Row


def add_recipe(parser: argparse.ArgumentParser, **options: Any) -> None:
    """Add the recipe of a run and the overrides of its keys."""
    from pipeline.config.compose import recipes

    parser.epilog = (
        "key=value sets any key of the configuration, e.g. generate.variants=4 dataset=camvid; lumen config CONFIG "
        "prints all keys"
    )
    parser.set_defaults(takes_overrides=True)
    names = ", ".join(recipes())
    text = f"one of {names}; or the path of a YAML file, or of a workspace to use its configuration"
    parser.add_argument("config", metavar="CONFIG", help=text, **options)


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the recipe of a run, and where to run it."""
    parser.usage = f"{parser.prog} CONFIG [key=value ...] [options]"
    add_recipe(parser)
    parser.add_argument("--workspace", help="folder that all stages write to")
    parser.add_argument("--executor", choices=("ray", "serial"), help="Ray workers, or this process alone")


def add_workspace(parser: argparse.ArgumentParser) -> None:
    """Add the folder that a run has written."""
    parser.add_argument("workspace", type=Path, metavar="WORKSPACE", help="folder that lumen run has written")


def add_stage(parser: argparse._ActionsContainer, name: str, text: str) -> None:
    """Add an argument that names a stage."""
    from pipeline.stages.registry import stage_names

    parser.add_argument(name, choices=stage_names(), metavar="STAGE", help=text)


def add_json(parser: argparse.ArgumentParser, text: str = "print JSON") -> None:
    """Add the choice of JSON output."""
    parser.add_argument("--json", action="store_true", help=text)


def add_limit(parser: argparse.ArgumentParser, samples: str) -> None:
    """Add a limit on the samples of a split; see `require_limit`."""
    parser.add_argument("--limit", type=int, metavar="N", help=f"at most N {samples} of each split, evenly spaced")


def require_limit(options: argparse.Namespace) -> None:
    """Raise UserError where `--limit` is below 1."""
    if options.limit is not None and options.limit < 1:
        raise UserError(f"--limit {options.limit}: give 1 or more")


def config_of(options: argparse.Namespace, overrides: Sequence[str]) -> Config:
    """The configuration that the command line names."""
    from pipeline.config.compose import load_config

    extra = [f"workspace={options.workspace}"] if options.workspace else []
    extra += [f"cluster.executor={options.executor}"] if options.executor else []
    return load_config(options.config, [*overrides, *extra])


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def as_json(rows: Sequence[Row]) -> str:
    """Rows of a table of stages as JSON."""
    return json.dumps([row.to_json() for row in rows], indent=2)
