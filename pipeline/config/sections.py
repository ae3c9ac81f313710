"""Types of values that several sections of the configuration share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, ValidationInfo

from augment.options import DONE, Distinct

StageName = Literal[
    "shard", "fit", "extract", "caption", "adapt", "generate", "judge", "curate", "compare", "evaluate", "report"
]
STAGES: tuple[StageName, ...] = get_args(StageName)


def model_name(name: str, info: ValidationInfo) -> str:
    """A folder as an absolute path, wherever a worker stands; any other name as it is."""
    if info.context == DONE:
        return name
    path = Path(name).expanduser()
    if path.is_dir() and len(path.parts) > 1:
        return str(path.absolute())
    if name.startswith(("/", ".", "~")):
        raise ValueError(f"there is no folder {path}; give one that exists, or a model's name")
    return name


ModelName = Annotated[str, Field(min_length=1), AfterValidator(model_name)]
Ks = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), Distinct]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
