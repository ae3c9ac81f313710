"""Looking up the fields and types of a configuration by the names of its keys."""

from __future__ import annotations

import types
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel


def fields_at(location: Sequence[str], schema: type[BaseModel]) -> dict[str, Any]:
    """Fields of the section at `location`; empty where no section is."""
    fields: dict[str, Any] = dict(schema.model_fields)
    for name in location:
        if name not in fields:
            # The name of an entry in a mapping of sections with these fields.
            continue
        section = section_of(fields[name].annotation)
        fields = dict(section.model_fields) if section else fields
    return fields


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section inside an annotation such as `X`, `X | None` or `dict[str, X]`."""
    if get_origin(annotation) in (Union, types.UnionType, dict):
        return next((found for item in get_args(annotation) if (found := section_of(item))), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def annotation_at(location: Sequence[str], schema: type[BaseModel]) -> Any:
    """The type of the value at `location`; None where the schema has no such key."""
    annotation: Any = schema
    for name in location:
        branches = branches_of(annotation)
        sections = [kind for kind in branches if isinstance(kind, type) and issubclass(kind, BaseModel)]
        mappings = [kind for kind in branches if get_origin(kind) is dict]
        found = next((kind.model_fields[name].annotation for kind in sections if name in kind.model_fields), None)
        annotation = found if found is not None else get_args(mappings[0])[1] if mappings else None
    return annotation


def branches_of(annotation: Any) -> list[Any]:
    """The types that an annotation allows, without what is said about them; none for None."""
    if annotation is None:
        return []
    origin = get_origin(annotation)
    if origin is Annotated:
        return branches_of(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [branch for item in get_args(annotation) for branch in branches_of(item)]
    return [annotation]


def is_text(kind: Any) -> bool:
    """Whether values of this type are written as plain text."""
    if get_origin(kind) is Literal:
        return all(isinstance(value, str) for value in get_args(kind))
    return isinstance(kind, type) and issubclass(kind, (str, Path))
