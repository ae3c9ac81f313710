"""From a recipe's name and overrides to a validated configuration; every mistake is an error of one line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from augment.errors import UserError
from augment.options import DONE
from pipeline.config.config import Config, config_class
from pipeline.config.overrides import Overrides, close_to, fields_at
from pipeline.workspace.workspace import KEPT_CONFIG

Schema = TypeVar("Schema", bound=BaseModel)


def configs_dir() -> Path:
    """Folder of the recipes and groups: beside the packages in a checkout, in `pipeline` when installed."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def recipes() -> list[str]:
    """Names that `lumen run NAME` knows."""
    return sorted(path.stem for path in configs_dir().glob("*.yaml"))


def load_config(recipe: str, overrides: Sequence[str] = (), *, done: bool = False) -> Config:
    """The configuration of a run: see `load`. One that a run has kept names the folder that it lies in.

    Of one whose run is only looked at, and so `done`, the folders and files that it names need not be there.
    """
    path = find_recipe(recipe)
    schema = config_class()
    values = compose(path, overrides, schema)
    if path.name == KEPT_CONFIG:
        values.setdefault("workspace", str(path.parent))
    return validate(values, schema, DONE if done else None)


def load(recipe: str, overrides: Sequence[str], schema: type[Schema]) -> Schema:
    """Compose `recipe` (a name in `configs/`, or the path of a YAML file) with `key=value` overrides.

    Raises:
        UserError: no such recipe, an unknown key, or a value out of range; one line that names the key, the
            value and what would be right.
    """
    path = find_recipe(recipe)
    return validate(compose(path, overrides, schema), schema)


def find_recipe(recipe: str) -> Path:
    """The file that `recipe` names."""
    for path in (configs_dir() / f"{recipe}.yaml", Path(recipe)):
        if path.is_file() and path.suffix == ".yaml":
            return path.resolve()
    known = [*recipes(), *(f"pretrain/{path.stem}" for path in sorted(configs_dir().glob("pretrain/*.yaml")))]
    raise UserError(f"no recipe {recipe!r}: give the path of a .yaml file, or one of {', '.join(known)}")


def compose(path: Path, overrides: Sequence[str], schema: type[BaseModel]) -> dict[str, Any]:
    """Compose one YAML file and its defaults list, the groups of `configs/` in reach, into a plain dict."""
    from hydra.errors import MissingConfigException

    folders = list(dict.fromkeys((path.parent, configs_dir())))
    given = Overrides(overrides, schema, folders)
    try:
        return given.restored(_composed(path.stem, path.parent, given.words))
    except MissingConfigException as error:
        missing = str(error.missing_cfg_file)
        known = sorted({found.stem for folder in folders for found in (folder / missing).parent.glob("*.yaml")})
        hint = close_to(missing.rpartition("/")[-1], known)
        there = f"there are {', '.join(known)}" if known else "there is no such folder"
        raise UserError(f"{path.name}: its defaults name {missing}, which is not there: {hint}{there}") from error
    except CompositionError as error:
        raise UserError(f"{path.name}: {_plain(one_line(error), overrides)}") from error


def settings_of(overrides: Sequence[str], schema: type[BaseModel]) -> dict[str, Any]:
    """What overrides alone state, as a plain dict; they are read as `load` reads them.

    Raises:
        UserError: one is not of the form key=value, or does not read.
    """
    given = Overrides(overrides, schema)
    try:
        return given.restored(_composed(None, configs_dir(), given.words))
    except CompositionError as error:
        raise UserError(_plain(one_line(error), overrides)) from error


class CompositionError(Exception):
    """A configuration does not compose."""


def _composed(name: str | None, folder: Path, words: Sequence[str]) -> dict[str, Any]:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError  # type: ignore[import-untyped]

    try:
        with _plainly_named(folder) as place, _plainly_named(configs_dir()) as shipped:
            search = [f"hydra.searchpath=['file://{shipped}']"] if folder != configs_dir() else []
            with initialize_config_dir(str(place), version_base="1.3"):
                composed = hydra_compose(name, [*search, *words])
        plain = OmegaConf.to_container(composed, resolve=True)
    except MissingConfigException:
        raise
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise CompositionError(one_line(error)) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@contextmanager
def _plainly_named(folder: Path) -> Iterator[Path]:
    """The folder under a name without signs that mean something in Hydra's own configuration."""
    if not re.search(r"[^\w./ -]", str(folder)):
        yield folder
        return
    with TemporaryDirectory() as scratch:
        link = Path(scratch, "configs")
        link.symlink_to(folder, target_is_directory=True)
        yield link


def _plain(message: str, overrides: Sequence[str]) -> str:
    """What the composition says is wrong, in our words where an override is at fault."""
    if found := re.match(r"Could not override '([^']+)'", message):
        override = next((item for item in overrides if item.partition("=")[0] == found[1]), found[1])
        return f"the recipe chooses no {found[1]} that {override} could replace: give +{override} to add it"
    if found := re.match(r"Could not delete from config\. '([^']+)' does not exist", message):
        return f"~{found[1]}: there is no {found[1]} to take out"
    return message


def validate(values: dict[str, Any], schema: type[Schema], context: object = None) -> Schema:
    """Check plain values against the schema; `context` is for its validators."""
    try:
        return schema.model_validate(values, context=context)
    except ValidationError as error:
        lines: dict[str, list[str]] = {}
        # Unknown keys first: what is missing may have been given under such a name.
        for item in sorted(error.errors(), key=lambda item: not is_unknown(item)):
            key, message = explain(item, schema)
            lines.setdefault(key, []).append(message)
        # Several messages on one key are the branches of a union: any of them would do.
        raise UserError("; ".join(key + " or ".join(found) for key, found in lines.items())) from error


def is_unknown(error: Any) -> bool:
    """Whether a pydantic error is about a key that the schema does not have."""
    return error["type"] == "extra_forbidden" or error["loc"][-1:] == ("[key]",)


def explain(error: Any, schema: type[BaseModel]) -> tuple[str, str]:
    """One pydantic error as the key with its value, and what would be right."""
    location = [str(part) for part in error["loc"] if not is_branch(part)]
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return unknown_key(location, schema), ""
    if location and location[-1] == "[key]":
        return f"unknown key {'.'.join(location[:-1])!r}: ", message.lower()
    key = ".".join(location)
    if error["type"] == "missing":
        return f"{key} is missing: ", describe(location, schema)
    if error["type"] == "value_error":
        return f"{key}: " if key else "", message
    message = re.sub(r"dictionary or instance of \w+", "section of keys", message)
    message = message.replace("tuple", "list").replace("dictionary", "mapping {key: value}")
    return f"{key}={error['input']!r}: ", message[0].lower() + message[1:]


def is_branch(part: str | int) -> bool:
    """Whether a part of an error's location is a member of a union and no key of the configuration."""
    return isinstance(part, str) and (part.startswith(("literal[", "constrained-", "function-")) or part == "int")


def unknown_key(location: list[str], schema: type[BaseModel]) -> str:
    known = sorted(fields_at(location[:-1], schema))
    close = difflib.get_close_matches(location[-1], known, n=1)
    hint = f"did you mean {'.'.join([*location[:-1], close[0]])!r}? " if close else ""
    return f"unknown key {'.'.join(location)!r}: {hint}the keys there are {', '.join(known)}"


def describe(location: list[str], schema: type[BaseModel]) -> str:
    fields = fields_at(location[:-1], schema)
    return (fields[location[-1]].description if location[-1] in fields else None) or "give it a value"


def one_line(error: Exception) -> str:
    """The message of an exception without line breaks."""
    return " ".join(str(error).split())
