"""Which backbones give the features, and which of their features: the section `backbone`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlencode

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, model_validator

from augment.errors import UserError
from augment.import_path import is_import_path
from augment.options import Options, model_name

Facet = Literal["token", "key", "query", "value"]

# Between the backbones of a fusion, and before the settings of one.
_AND, _WITH = " + ", "?"


class FeatureOptions(Options):
    """Which features of a backbone are taken."""

    layer: int = Field(
        default=-1,
        description="layer to take the output of, with the model's final normalisation; from 0, or negative from the "
        "end: -1 is the last",
    )
    facet: Facet = Field(
        default="token", description="the tokens after the layer, or the keys, queries or values of its attention"
    )
    block: int | None = Field(
        default=None, ge=0, description="of a diffusion model: up block of the U-Net, 0 is the deepest; null is 1"
    )
    timestep: int | None = Field(
        default=None, ge=0, description="of a diffusion model: timestep of the noise added to the image; null is 261"
    )
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32",
        description="precision of the model; bf16 is faster on most GPUs, and its layouts differ slightly",
    )

    @property
    def changed(self) -> dict[str, Any]:
        """The settings that differ from their defaults."""
        return self.model_dump(exclude_defaults=True, include=set(FeatureOptions.model_fields))


def _entry(text: str, info: ValidationInfo) -> str:
    if text and Path(text).expanduser().is_dir():
        return model_name(text, info)
    name, mark, settings = text.partition(_WITH)
    if not name:
        raise ValueError("it is empty; give a folder or a model's name")
    try:
        parse_name(text)
    except UserError as error:
        raise ValueError(str(error)) from error
    return model_name(name, info) + mark + settings


# The name of one backbone, with settings of its own after a question mark.
BackboneName = Annotated[str, AfterValidator(_entry)]


class _Named(Options):
    name: BackboneName | Annotated[tuple[BackboneName, ...], Field(min_length=2)] = Field(
        description="'dinov2-vits14' (no hub needed), a hub id, a folder, or 'module:class' of a backbone of your own; "
        "a list fuses several, each with settings of its own, as in 'facebook/dinov2-base?layer=-3&facet=key'"
    )


class BackboneOptions(FeatureOptions, _Named):
    """The frozen foundation model that gives the features of layouts."""

    @model_validator(mode="after")
    def _settings_of_one(self) -> BackboneOptions:
        names = self.name if isinstance(self.name, tuple) else (self.name,)
        if separated := [name for name in names if _AND in name and not (len(names) == 1 and Path(name).is_dir())]:
            raise ValueError(f"{separated[0]!r} has {_AND!r} in it, which separates backbones; give a list of them")
        for setting, value in self.changed.items():
            if isinstance(self.name, tuple) or (_WITH in self.name and not Path(self.name).is_dir()):
                raise ValueError(f"give {setting} in the name of its backbone, as in 'NAME?{setting}={value}'")
            if is_import_path(self.name):
                raise ValueError(f"a backbone of your own takes no {setting}; leave it out")
        return self

    @property
    def reference(self) -> str:
        """The backbones with their settings in one name, which `load_backbone` takes and a basis records."""
        if isinstance(self.name, tuple):
            return _AND.join(self.name)
        return written_name(self.name, self) if self.changed else self.name


def written_name(name: str, settings: FeatureOptions) -> str:
    """A backbone's name with its settings, such as `facebook/dinov2-base?layer=-3`; defaults are left out."""
    return f"{name}{_WITH}{urlencode(settings.changed)}" if settings.changed else name


def split_fusion(reference: str) -> list[str]:
    """The names of the backbones in what `BackboneOptions.reference` gives; that of a folder is one, whatever it is."""
    return [reference] if Path(reference).is_dir() else reference.split(_AND)


def parse_name(name: str) -> tuple[str, FeatureOptions]:
    """The name of one backbone and its settings, read from what `written_name` gives.

    Raises:
        UserError: a setting is unknown, or has a value that is out of range.
    """
    plain, mark, text = name.partition(_WITH)
    if not mark or Path(name).is_dir():
        return name, FeatureOptions()
    try:
        settings = FeatureOptions.model_validate(dict(parse_qsl(text, keep_blank_values=True, strict_parsing=True)))
    except ValidationError as error:
        fault = error.errors()[0]
        raise UserError(f"backbone {name!r}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
    except ValueError as error:
        raise UserError(f"backbone {name!r}: give settings as in 'NAME?layer=-3&facet=key'") from error
    if settings.changed and is_import_path(plain):
        raise UserError(f"backbone {name!r}: a backbone of your own takes no settings: leave them out")
    return plain, settings
