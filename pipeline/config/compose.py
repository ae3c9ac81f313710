"""From the name of a recipe and overrides to a validated configuration; every mistake is an error of one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from augment.errors import UserError
from augment.options import DONE
from augment.suggestion import suggest
from pipeline.config.choices import choices
from pipeline.config.composition import CompositionError, composed
from pipeline.config.config import Config, config_class
from pipeline.config.overrides import Overrides
from pipeline.config.validation import Schema, validate
from pipeline.workspace.workspace import KEPT_CONFIG


def configs_dir() -> Path:
    """Folder of the recipes and groups: beside the packages in a checkout, in `pipeline` when installed."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def recipes() -> list[str]:
    """Names that `lumen run NAME` knows."""
    return choices([configs_dir()], "")


def load_config(recipe: str, overrides: Sequence[str] = (), *, done: bool = False) -> Config:
    """The configuration of a run: see `load`. The one in a workspace gets the path of that workspace.

    With `done`, for a run that is only looked at, the folders and files that it names need not exist.
    """
    schema = config_class()
    return validate(values_of(find_recipe(recipe), overrides, schema), schema, DONE if done else None)


def values_of(path: Path, overrides: Sequence[str], schema: type[BaseModel]) -> dict[str, Any]:
    """The composed values of a recipe's file, see `compose`, with the workspace that it is in."""
    values = compose(path, overrides, schema)
    if path.name == KEPT_CONFIG and issubclass(schema, Config):
        values.setdefault("workspace", str(path.parent))
    return values


def load(recipe: str, overrides: Sequence[str], schema: type[Schema]) -> Schema:
    """Compose a recipe, see `find_recipe`, with `key=value` overrides.

    Raises:
        UserError: no such recipe, an unknown key, or a value out of range; one line that names the key, the
            value and what would be right.
    """
    return validate(compose(find_recipe(recipe), overrides, schema), schema)


def find_recipe(recipe: str) -> Path:
    """The file of a recipe: a name in `configs/`, the path of a YAML file, or a workspace with its configuration.

    Raises:
        UserError: no such file exists.
    """
    folder = Path(recipe)
    for path in (configs_dir() / f"{recipe}.yaml", folder, folder / KEPT_CONFIG):
        if path.is_file() and path.suffix == ".yaml":
            return path.resolve()
    known = [*recipes(), *(f"pretrain/{name}" for name in choices([configs_dir()], "pretrain"))]
    if folder.is_dir():
        raise UserError(
            f"{recipe} is a folder without {KEPT_CONFIG}: give a workspace that lumen run has written, the path of a "
            f".yaml file, or one of {', '.join(known)}"
        )
    raise UserError(f"no recipe {recipe!r}: {suggest(recipe, known)}; or give the path of a .yaml file or a workspace")


def compose(path: Path, overrides: Sequence[str], schema: type[BaseModel]) -> dict[str, Any]:
    """Compose one YAML file and its defaults list, with the groups beside it and in `configs/`, into a plain dict.

    Raises:
        UserError: it does not compose, or an override does not apply.
    """
    given = Overrides(overrides, schema, list(dict.fromkeys((path.parent, configs_dir()))))
    try:
        return dict(given.restored(composed(path.stem, path.parent, configs_dir(), given.words, given.plain)))
    except CompositionError as error:
        raise UserError(f"{path.name}: {given.restored(str(error))}") from error


def settings_of(overrides: Sequence[str], schema: type[BaseModel]) -> dict[str, Any]:
    """The values of overrides alone, as a plain dict; they are read as `load` reads them.

    Raises:
        UserError: one is not of the form key=value, or does not apply.
    """
    given = Overrides(overrides, schema)
    try:
        return dict(given.restored(composed(None, configs_dir(), configs_dir(), given.words, given.plain)))
    except CompositionError as error:
        raise UserError(given.restored(str(error))) from error
