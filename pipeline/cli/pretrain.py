"""`lumen pretrain`: train a base model from scratch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.cli.shared import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the configuration and its overrides."""
    parser.usage = f"{parser.prog} CONFIG [key=value ...]"
    parser.set_defaults(takes_overrides=True)
    parser.add_argument("config", metavar="CONFIG", help="e.g. pretrain/lumen-tiny, or the path of a YAML file")


def run(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Train the model and print its folder."""
    from pipeline.config.compose import load
    from pipeline.workflow.pretrain import PretrainConfig, run

    config = load(options.config, overrides, PretrainConfig)
    run(config, say)
    say(f"model: {config.destination}")
    return 0
