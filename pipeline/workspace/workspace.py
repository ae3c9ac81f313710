"""The folder of a run, and where its stores and artifacts are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from augment.errors import UserError

if TYPE_CHECKING:
    from pipeline.config import Config

# The configuration of the last run. It does not say where the workspace is, so that it is right in a copy as well.
KEPT_CONFIG = "config.yaml"


@dataclass(frozen=True)
class Workspace:
    """Where a run keeps its artifacts and stores; each step says what it calls its own.

    Attributes:
        root: folder of the artifacts.
        store_root: URL of the folder of the stores; None is the workspace.
    """

    root: Path
    store_root: str | None = None

    @classmethod
    def of(cls, config: Config) -> Workspace:
        """The workspace of a run."""
        return cls(config.workspace, config.stores)

    @classmethod
    def at(cls, root: Path) -> Workspace:
        """The workspace in a folder, its stores where the last run put them."""
        return cls(root, read_kept_config(cls(root).config).get("stores"))

    @property
    def config(self) -> Path:
        """File of the resolved configuration of the last run."""
        return self.root / KEPT_CONFIG

    def artifact(self, name: str) -> Path:
        """Path of an artifact, whether it exists or not."""
        return self.root / name

    def store(self, name: str) -> str:
        """URL of a store, whether it exists or not."""
        return f"{self.store_root or self.root}/{name}"


def read_kept_config(path: Path) -> dict[str, Any]:
    """What a run has kept of its configuration; empty where there is no file.

    Raises:
        UserError: it is damaged.
    """
    if not path.is_file():
        return {}
    try:
        kept = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())}") from error
    if not isinstance(kept, dict):
        raise UserError(f"{path} is damaged: it holds no configuration; run the original command again")
    return {str(key): value for key, value in kept.items()}
