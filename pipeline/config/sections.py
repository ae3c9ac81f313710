"""What the sections of the configuration have in common: their base, and the types of their values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from pipeline.taxonomies import TAXONOMIES

StageName = Literal[
    "shard", "fit", "extract", "caption", "adapt", "generate", "judge", "curate", "compare", "evaluate", "report"
]
STAGES: tuple[StageName, ...] = get_args(StageName)
TRAIN_SPLIT = "train"
# Context of a validation after which nothing is run, so that no file needs to be where the configuration says.
DONE = "done"
# Keys of a training that leave its result as it is.
REPORTING_KEYS = {"checkpoint_every", "checkpoint_minutes", "sample_every", "log_every"}


class Section(BaseModel):
    """A part of the configuration: no unknown key, no change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def absolute(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        # A name that begins with a tilde and is no user's.
        return path.absolute()


def distinct(values: tuple[str | int, ...]) -> tuple[str | int, ...]:
    if len(set(values)) != len(values):
        raise ValueError(f"{list(values)} names one entry twice")
    return values


def ascending(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"{list(bounds)} runs downwards; give the smaller number first")
    return bounds


def local(path: object) -> object:
    if isinstance(path, str) and "://" in path:
        raise ValueError(f"{path!r} is a URL; give a folder, one that every worker mounts")
    return path


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


AbsolutePath = Annotated[Path, BeforeValidator(local), AfterValidator(absolute)]
Url = Annotated[str, Field(min_length=1), BeforeValidator(text_of), AfterValidator(folder_or_url)]
TaxonomyName = Annotated[str, AfterValidator(taxonomy_name)]
Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
CheckpointMinutes = Annotated[
    float, Field(gt=0, description="minutes after which a checkpoint is written, however few steps they brought")
]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
ModelName = Annotated[str, Field(min_length=1), AfterValidator(model_name)]
Splits = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(distinct)]
Ks = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), AfterValidator(distinct)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
