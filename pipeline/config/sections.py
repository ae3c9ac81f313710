"""What the sections of the configuration have in common: their base, and the types of their values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from augment.options import Distinct, absolute
from pipeline.taxonomies import TAXONOMIES

StageName = Literal[
    "shard", "fit", "extract", "caption", "adapt", "generate", "judge", "curate", "compare", "evaluate", "report"
]
STAGES: tuple[StageName, ...] = get_args(StageName)
TRAIN_SPLIT = "train"
# Context of a validation after which nothing is run, so that no file needs to be where the configuration says.
DONE = "done"


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


def taxonomy_name(name: str) -> str:
    if name not in TAXONOMIES:
        raise ValueError(f"{name!r} names no classes; there are {', '.join(sorted(TAXONOMIES))}")
    return name


def text_of(path: object) -> object:
    return str(path) if isinstance(path, Path) else path


def folder_or_url(url: str) -> str:
    return url.rstrip("/") if "://" in url else str(absolute(Path(url)))


Url = Annotated[str, Field(min_length=1), BeforeValidator(text_of), AfterValidator(folder_or_url)]
TaxonomyName = Annotated[str, AfterValidator(taxonomy_name)]
ModelName = Annotated[str, Field(min_length=1), AfterValidator(model_name)]
Ks = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), Distinct]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
