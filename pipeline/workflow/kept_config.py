"""The configuration that a run keeps in its workspace, for later commands and for the reader."""

from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf

from augment.errors import UserError
from augment.files import write_whole
from pipeline.config import Config
from pipeline.config.compose import load_config
from pipeline.config.overrides import literal
from pipeline.workspace.workspace import Workspace

# If that many sections differ, the configuration is another recipe and not a change of this one.
MANY_SECTIONS = 3


def write_config(config: Config) -> None:
    """Keep the resolved configuration in the workspace."""
    path = Workspace.of(config).config
    text = OmegaConf.to_yaml(OmegaConf.create(literal(config.model_dump(mode="json", exclude={"workspace"}))))
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # A run with nothing left to do writes it without holding the workspace.
    write_whole(path, text, shared=True)


def read_config(root: Path, *, done: bool = False) -> Config:
    """The configuration of the last run in a workspace; the folder may have been moved.

    If ``done``, its run is only looked at, and dataset and models need not exist.

    Raises:
        UserError: the folder holds no configuration, or one that this version does not know.
    """
    path = Workspace(root).config
    if not path.is_file():
        raise UserError(f"{root} is not a workspace: {path.name} is missing; give the folder that lumen run wrote to")
    try:
        config = load_config(str(path), done=done)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return config.model_copy(update={"workspace": root.expanduser().absolute()})


def other_recipe(config: Config) -> list[str]:
    """The sections that differ from the kept ones, if they are so many that the workspace is of another recipe.

    None are named if no configuration is kept, or one that this version does not know. Keys that an earlier version did
    not know have their defaults.
    """
    try:
        found = read_config(Workspace.of(config).root, done=True)
    except UserError:
        return []
    kept, requested = (
        each.model_dump(mode="json", exclude={"workspace", "stores", "cluster", "error_budget"})
        for each in (found, config)
    )
    changed = [section for section, value in requested.items() if section in kept and kept[section] != value]
    return changed if {"name", "dataset"} & set(changed) or len(changed) >= MANY_SECTIONS else []
