"""Validating plain values against the schema; every error of pydantic becomes one line that names key and value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from augment.errors import UserError
from augment.suggestion import suggest
from pipeline.config.schema import fields_at, section_of

# Errors that say that a value is of another kind.
_OTHER_KIND = {"tuple_type", "string_type", "literal_error"}

Schema = TypeVar("Schema", bound=BaseModel)


def validate(values: dict[str, Any], schema: type[Schema], context: object = None) -> Schema:
    """Check plain values against the schema; `context` is for its validators.

    Raises:
        UserError: a key is unknown or missing, or a value is out of range.
    """
    try:
        return schema.model_validate(values, context=context)
    except ValidationError as error:
        lines: dict[str, list[str]] = {}
        # Unknown keys first: a missing key may have been given under such a name.
        for item in sorted(_of_branches_meant(error.errors()), key=lambda item: not _is_unknown(item)):
            key, message = _explain(item, schema)
            lines.setdefault(key, []).append(message)
        # Several messages for one key are the branches of a union: any of them would do.
        raise UserError("; ".join(key + " or ".join(found) for key, found in lines.items())) from error


def _of_branches_meant(errors: Sequence[Any]) -> list[Any]:
    """The errors without those of members of a union that the value is not meant for: another member got further."""

    def within(error: Any, other: Any) -> bool:
        own, found = _keys(error), _keys(other)
        # A word that would be right for the same value is worth naming.
        deeper = len(found) > len(own) or error["type"] != "literal_error"
        return deeper and found[: len(own)] == own

    further = [error for error in errors if error["type"] not in _OTHER_KIND]
    return [
        error for error in errors if error["type"] not in _OTHER_KIND or not any(within(error, one) for one in further)
    ]


def _keys(error: Any) -> list[str]:
    """The location of an error, without members of unions."""
    return [str(part) for part in error["loc"] if not _is_branch(part)]


def _is_unknown(error: Any) -> bool:
    """Whether a pydantic error is about a key that the schema does not have."""
    return error["type"] == "extra_forbidden" or error["loc"][-1:] == ("[key]",)


def _explain(error: Any, schema: type[BaseModel]) -> tuple[str, str]:
    """One pydantic error as the key with its value, and what would be right."""
    location = _keys(error)
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return unknown_key(location, schema), ""
    if location and location[-1] == "[key]":
        return f"unknown key {'.'.join(location[:-1])!r}: ", message.lower()
    key = ".".join(location)
    if error["type"] == "missing":
        return f"{key} is missing: ", _describe(location, schema)
    if error["type"] == "value_error":
        return f"{key}: " if key else "", message
    message = re.sub(r".*dictionary or instance of \w+", "expected a section of keys and values", message)
    message = message[0].lower() + message[1:]
    message = message.replace("tuple", "list").replace("dictionary", "mapping {key: value}")
    return f"{key}={error['input']!r}: ", message


def _is_branch(part: str | int) -> bool:
    """Whether a part of an error's location is a member of a union and no key of the configuration."""
    kinds = ("literal[", "constrained-", "function-", "tuple[")
    return isinstance(part, str) and (part.startswith(kinds) or part == "int")


def unknown_key(location: Sequence[str], schema: type[BaseModel]) -> str:
    """The message for a key that the schema does not have: the nearest key, and all keys of its section."""
    section, name = location[:-1], location[-1]
    hint = suggest(name, sorted(fields_at(section, schema)), "the keys are")
    # The nearest key is named in full, as it is given on a command line.
    hint = re.sub(r"^did you mean '(.*?)'", lambda found: f"did you mean {'.'.join([*section, found[1]])!r}", hint)
    return f"unknown key {'.'.join(location)!r}: {hint}"


def _describe(location: Sequence[str], schema: type[BaseModel]) -> str:
    field = fields_at(location[:-1], schema).get(location[-1])
    if field is not None and section_of(field.annotation):
        return "give its section of keys and values"
    return (field.description if field is not None else None) or "give it a value"
