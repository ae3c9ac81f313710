"""`lumen config`: print a configuration with the meaning of every key."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augment.errors import UserError
from pipeline.cli.shared import add_recipe, say

if TYPE_CHECKING:
    from pydantic import BaseModel

# A root that a recipe leaves open, so that the rest of it can be validated.
OPEN_ROOT = "open://root"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe, or the choice of the whole reference."""
    parser.usage = f"{parser.prog} CONFIG [key=value ...]\n       {parser.prog} --reference"
    add_recipe(parser, nargs="?")
    parser.add_argument("--reference", action="store_true", help="print the reference of all keys as Markdown")


def run(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Print the configuration as YAML, or the reference."""
    if options.reference:
        say(reference_page().removesuffix("\n"))
        return 0
    if options.config is None:
        raise UserError("name a recipe, or give --reference for all keys")
    say(text_of(options.config, overrides).removesuffix("\n"))
    return 0


def reference_page() -> str:
    """The content of docs/configuration.md."""
    from pipeline.config import config_class
    from pipeline.config.reference import reference
    from pipeline.workflow.pretrain import PretrainConfig

    return reference({"Keys of `lumen run`": config_class(), "Keys of `lumen pretrain`": PretrainConfig})


def text_of(recipe: str, overrides: Sequence[str]) -> str:
    """The resolved configuration of a recipe as YAML with comments; a dataset's root may be left open.

    Raises:
        UserError: the recipe does not compose, or a value is out of range.
    """
    from pipeline.config.commented import commented
    from pipeline.config.compose import find_recipe, values_of
    from pipeline.config.validation import validate

    path = find_recipe(recipe)
    schema, command = schema_of(path)
    values = values_of(path, overrides, schema)
    opened = [section for section in datasets_in(values) if is_open(section)]
    for section in opened:
        section["root"] = OPEN_ROOT
    config = validate(values, schema)
    lead = [f"Resolved from {' '.join([recipe, *overrides])}; {command} FILE takes it."]
    lead += ["A dataset's root is not set: the command refuses to start without it."] if opened else []
    return commented(config, *lead).replace(f"root: '{OPEN_ROOT}'\n", "root: null\n")


def schema_of(path: Path) -> tuple[type[BaseModel], str]:
    """The schema of a recipe, and the command that runs it."""
    from pipeline.config import config_class
    from pipeline.config.compose import compose
    from pipeline.workflow.pretrain import PretrainConfig

    is_pretraining = "sources" in compose(path, [], PretrainConfig)
    return (PretrainConfig, "lumen pretrain") if is_pretraining else (config_class(), "lumen run")


def datasets_in(values: Any) -> Iterator[dict[str, Any]]:
    """Every dataset section in the values of a configuration."""
    for name, value in values.items() if isinstance(values, dict) else ():
        if name == "dataset" and isinstance(value, dict):
            yield value
        else:
            yield from datasets_in(value)


def is_open(dataset: dict[str, Any]) -> bool:
    """Whether a dataset needs a root that is not set."""
    return dataset.get("root") is None and dataset.get("kind", "rendered") != "rendered"
