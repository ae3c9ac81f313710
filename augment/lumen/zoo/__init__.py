"""Models that come with the project."""

from __future__ import annotations

from pathlib import Path

ZOO = Path(__file__).parent


def names() -> list[str]:
    """Names of the models in the zoo."""
    return sorted(path.parent.name for path in ZOO.glob("*/model_index.json"))


def source(name: str) -> str:
    """Folder of a model of the zoo; any other name, a local folder or a hub id, unchanged."""
    return str(ZOO / name) if name in names() else name
