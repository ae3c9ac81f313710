"""Composing YAML files with Hydra; its errors become one line in the words of the user's own files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from augment.suggestion import suggest
from pipeline.config.choices import choices, groups

_ENTRY = "an entry is '- GROUP: NAME', '- RECIPE' or '- _self_'"
# Messages of Hydra as regular expressions, and what they mean to the user.
_MEANINGS = (
    (r"Could not delete '([^']+)'", r"~\1: the recipe has no \1 to remove"),
    (r"Could not delete from config\. '([^']+)' does not exist", r"~\1: the recipe has no \1 to remove"),
    (
        r"Could not delete from config\. The value of '([^']+)' is (.*) and not (.*)\.",
        r"~\1=\3: \1 is \2; write ~\1 to remove it",
    ),
    (r"Multiple values for (\S+)\. .* use '(.*)'", r"its defaults list chooses \1 twice: write '- \2' for the second"),
    (r"Duplicate _self_", "its defaults list names _self_ twice"),
    (r"must be a DictConfig", "it must hold keys and values, such as 'name: mine'"),
    (r"Cannot merge", "a key has a list in one file and a section of keys in another"),
    (r"Error resolving interpolation '(.*)'", r"its defaults list refers to \1, which is not set"),
    (r"Error merging override \+\+(.*)=(.*)", r"\1=\2: this entry does not exist; give the whole value"),
)


class CompositionError(Exception):
    """A configuration does not compose; the message is one line for the user."""


def composed(
    name: str | None, folder: Path, shipped: Path, words: Sequence[str], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Compose the file `name`.yaml of `folder`, or no file, with overrides in Hydra's own grammar.

    Args:
        name: of the file, without its suffix.
        folder: of the file; the groups in its defaults list are looked for here first.
        shipped: the folder of the recipes and groups that come with the package.
        words: the overrides.
        values: of top-level keys, which are set after the composition.

    Raises:
        CompositionError: a file cannot be read, or names what does not exist, or an override does not apply.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError  # type: ignore[import-untyped]

    folders = list(dict.fromkeys((folder, shipped)))
    try:
        with _plainly_named(folder) as place, _plainly_named(shipped) as packaged:
            search = [f"hydra.searchpath=['file://{packaged}']"] if folder != shipped else []
            with initialize_config_dir(str(place), version_base="1.3"):
                config = compose(name, [*search, *words])
        OmegaConf.set_struct(config, False)
        config.update(values)
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingConfigException as error:
        raise CompositionError(_missing(str(error.missing_cfg_file), name, folders, groups(shipped))) from error
    except RecursionError as error:
        raise CompositionError("it includes itself, through its defaults list or a YAML alias") from error
    except OmegaConfBaseException as error:
        raise CompositionError(_unresolved(error)) from error
    except YAMLError as error:
        raise CompositionError(_no_yaml(error, name)) from error
    except (HydraException, ValueError) as error:
        # Hydra raises a bare ValueError for a malformed defaults list.
        cause = error.__cause__
        if not str(error).strip() and isinstance(cause, OmegaConfBaseException):
            raise CompositionError(_unresolved(cause)) from error
        raise CompositionError(_meaning(one_line(error), groups(shipped))) from error
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


def _missing(file: str, recipe: str | None, folders: Sequence[Path], known_groups: Sequence[str]) -> str:
    """Explain that an entry of a defaults list names a file that does not exist."""
    group, _, name = file.rpartition("/")
    if not group and name in known_groups:
        return f"its defaults list names {name!r} without a choice: write '- {name}: NAME'; " + suggest(
            "", choices(folders, name)
        )
    if known := [each for each in choices(folders, group) if group or each != recipe]:
        return f"its defaults list names {file!r}, which does not exist: {suggest(name, known)}"
    return f"its defaults list names the group {group!r}, which does not exist: {suggest(group, known_groups)}"


def _meaning(message: str, known_groups: Sequence[str]) -> str:
    """A message of Hydra in our words."""
    if found := re.match(r"In '[^']+': Could not override '([^']+)'", message):
        return f"its defaults list overrides {found[1]!r}, which no earlier entry chooses: " + suggest(
            found[1], known_groups
        )
    if found := re.match(r"Could not override '([^']+)'", message):
        return f"its defaults list chooses no {found[1]} to replace: write +{found[1]}=NAME to add one"
    for pattern, meaning in _MEANINGS:
        if found := re.search(pattern, message):
            return found.expand(meaning)
    if "efaults" in message or "default item" in message:
        return f"its defaults list cannot be read: {_ENTRY}"
    return message


def _unresolved(error: Any) -> str:
    """Explain an OmegaConf error: a value refers to another that cannot be used."""
    from omegaconf.errors import GrammarParseError, InterpolationKeyError, MissingMandatoryValue

    message = str(error.msg or error).splitlines()[0]
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} is ???: give it a value"
    if isinstance(error, GrammarParseError):
        return f"{error.full_key}: {error.value!r} does not read as a reference; write \\${{ where ${{ is plain text"
    if isinstance(error, InterpolationKeyError) and (found := re.search(r"key '(.*)' not found", message)):
        return f"{error.full_key}: it refers to the key {found[1]!r}, which does not exist"
    message = message.removeprefix("KeyError raised while resolving interpolation: ").strip('"')
    return f"{error.full_key}: {message[0].lower()}{message[1:]}"


def _no_yaml(error: Exception, recipe: str | None) -> str:
    """Explain where a file, the recipe's own or another that it names, is not valid YAML."""
    from yaml import MarkedYAMLError

    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return re.sub(r' in ".*", position', " at position", one_line(error))
    mark, file = error.problem_mark, Path(error.problem_mark.name)
    of = "" if file.stem == recipe else f" of {file.parent.name}/{file.name}"
    return f"line {mark.line + 1}, column {mark.column + 1}{of}: {error.problem}"


def one_line(error: Exception) -> str:
    """The message of an exception without line breaks."""
    return " ".join(str(error).split())
