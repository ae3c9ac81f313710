"""The keys of a configuration with their types, ranges, defaults and meanings, read from its pydantic models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

REQUIRED = object()


@dataclass(frozen=True)
class Key:
    """One key of a section.

    Attributes:
        name: of the key.
        type: of its value in words, e.g. ``integer or null``.
        range: of its value in words, e.g. ``1 to 100``; empty where any value of the type is valid.
        default: as plain data; `REQUIRED` where a value must be given.
        meaning: what it does.
        section: the keys inside its value; None where the value is no section.
        entries: the name of an entry, e.g. ``SOURCE``, where the value maps names to such sections; else empty.
    """

    name: str
    type: str
    range: str
    default: Any
    meaning: str
    section: Section | None
    entries: str = ""


@dataclass(frozen=True)
class Section:
    """Keys that belong together.

    Attributes:
        name: of the pydantic model.
        meaning: what the keys are about.
        keys: in the order of the model.
    """

    name: str
    meaning: str
    keys: tuple[Key, ...]


def keys_of(schema: type[BaseModel]) -> Section:
    """All keys of a configuration; single keys come before sections at its top level."""
    root = schema.model_json_schema()
    section = _section(schema.__name__, root, root.get("$defs", {}))
    return Section(section.name, section.meaning, tuple(sorted(section.keys, key=lambda key: key.section is not None)))


def _section(name: str, node: Mapping[str, Any], models: Mapping[str, Any]) -> Section:
    required = node.get("required", ())
    keys = [_key(key, field, key in required, models) for key, field in node["properties"].items()]
    return Section(name, " ".join(node.get("description", "").split("\n\n")[0].split()), tuple(keys))


def _key(name: str, field: Mapping[str, Any], is_required: bool, models: Mapping[str, Any]) -> Key:
    reference, is_entry = _reference(field)
    section = _section(reference, models[reference], models) if reference else None
    meaning = field.get("description") or (section.meaning if section else "")
    default = REQUIRED if is_required else field.get("default")
    entries = name.upper().removesuffix("S") if is_entry else ""
    return Key(name, _type(field), ", ".join(_ranges(field)), default, " ".join(meaning.split()), section, entries)


def _reference(node: Mapping[str, Any]) -> tuple[str, bool]:
    """The model inside a type, and whether the type maps names to it; an empty name for a type without a model."""
    if "$ref" in node:
        return node["$ref"].rpartition("/")[-1], False
    for branch in node.get("anyOf", ()):
        if (found := _reference(branch))[0]:
            return found
    entry = node.get("additionalProperties")
    return (_reference(entry)[0], True) if isinstance(entry, dict) and _reference(entry)[0] else ("", False)


def _type(node: Mapping[str, Any]) -> str:
    """A type of JSON schema in words."""
    if "$ref" in node:
        return "section"
    if "anyOf" in node:
        return " or ".join(_type(branch) for branch in node["anyOf"])
    if "const" in node:
        return str(node["const"])
    if "enum" in node:
        return f"one of {', '.join(map(str, node['enum']))}"
    kind = node.get("type")
    if kind == "array":
        items = node.get("prefixItems", [])
        return f"list of {len(items)} {_plural(items[0])}" if items else f"list of {_plural(node.get('items', {}))}"
    if kind == "object":
        entry = node.get("additionalProperties")
        return f"mapping of names to {_plural(entry)}" if isinstance(entry, dict) else "mapping"
    return "path" if node.get("format") == "path" else str(kind or "any value")


def _plural(node: Mapping[str, Any]) -> str:
    first, *rest = _type(node).split(" ", 1)
    return " ".join([f"{first}s", *rest])


def _ranges(node: Mapping[str, Any]) -> Iterator[str]:
    """The limits that a type states, in words."""
    for branch in node.get("anyOf", ()):
        yield from _ranges(branch)
    low, high = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    if low is not None and high is not None:
        yield f"{low} to {high}"
    else:
        limits = {"at least": low, "above": above, "at most": high, "below": below}
        yield from (f"{words} {limit}" for words, limit in limits.items() if limit is not None)
    if "multipleOf" in node:
        yield f"a multiple of {node['multipleOf']}"
    if "pattern" in node:
        yield f"matches `{node['pattern']}`"
    fewest = node.get("minItems")
    if fewest is not None and fewest == node.get("maxItems"):
        if "items" in node:
            yield f"{fewest} of them"
    elif fewest or node.get("minLength") or node.get("minProperties"):
        yield "not empty"
    if items := node.get("items") or next(iter(node.get("prefixItems", ())), None):
        yield from (f"each {words}" for words in _ranges(items))
    if isinstance(entry := node.get("additionalProperties"), dict):
        yield from (f"each {words}" for words in _ranges(entry))
