"""Options of components: frozen pydantic models that are sections of the configuration as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

Value = TypeVar("Value")

# Of classifier-free guidance; 1 is none.
GuidanceScale = Annotated[float, Field(ge=1, le=30)]

# Context of a validation after which nothing runs, so that no file needs to be where the options say.
DONE = "done"


class Options(BaseModel):
    """Options of one component: every field has a type, a range and a description; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def absolute(path: Path) -> Path:
    """An absolute path, ``~`` expanded where it names a user."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        # A name that begins with a tilde and is no user's.
        return path.absolute()


def _local(path: object) -> object:
    if isinstance(path, str) and "://" in path:
        raise ValueError(f"{path!r} is a URL; give a folder, one that every worker mounts")
    return path


def _as_text(path: object) -> object:
    return str(path) if isinstance(path, Path) else path


def _folder_or_url(url: str) -> str:
    return url.rstrip("/") if "://" in url else str(absolute(Path(url)))


def _distinct(values: tuple[Value, ...]) -> tuple[Value, ...]:
    if len(set(values)) != len(values):
        raise ValueError(f"{list(values)} names one entry twice")
    return values


def _ascending(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"{list(bounds)} is in descending order; give the smaller number first")
    return bounds


def model_name(name: str, info: ValidationInfo) -> str:
    """A folder as an absolute path, whatever the folder of a worker; any other name unchanged."""
    if info.context == DONE:
        return name
    path = Path(name).expanduser()
    if path.is_dir() and len(path.parts) > 1:
        return str(path.absolute())
    if name.startswith(("/", ".", "~")):
        raise ValueError(f"there is no folder {path}; give one that exists, or a model's name")
    return name


def file_or_model(name: str, info: ValidationInfo) -> str:
    """The same; a file is an absolute path too."""
    path = Path(name).expanduser()
    return str(path.absolute()) if path.is_file() else model_name(name, info)


Distinct = AfterValidator(_distinct)
Ascending = AfterValidator(_ascending)
AbsolutePath = Annotated[Path, BeforeValidator(_local), AfterValidator(absolute)]
# The folder or name of a model.
ModelName = Annotated[str, Field(min_length=1), AfterValidator(model_name)]
# The name of a run or a model: letters, digits, dots, underscores and hyphens.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
# A folder, as an absolute path, or a URL without a slash at its end.
Url = Annotated[str, Field(min_length=1), BeforeValidator(_as_text), AfterValidator(_folder_or_url)]
Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Splits = Annotated[tuple[str, ...], Field(min_length=1), Distinct]
CheckpointMinutes = Annotated[
    float, Field(gt=0, description="minutes after which a checkpoint is written, whatever the number of steps since")
]
