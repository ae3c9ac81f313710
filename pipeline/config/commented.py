"""A configuration as YAML with a comment for each key."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel

from pipeline.config.keys import REQUIRED, Key, Section, keys_of
from pipeline.config.overrides import literal

WIDTH = 110
# Text that no YAML reader takes for a number, a date or a reference; all other text is quoted.
_PLAIN = re.compile(r"[A-Za-z/][\w./-]*")


class _Dumper(yaml.SafeDumper):
    """Quotes text wherever OmegaConf could read something else, which takes more for numbers than PyYAML does."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    # Double quotes escape line breaks and other characters that are not printable.
    style = None if _PLAIN.fullmatch(text) else "'" if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def commented(config: BaseModel, *lead: str) -> str:
    """A configuration as YAML that `load` reads again, each key under a comment with its meaning, type and range.

    Args:
        config: what to write.
        lead: lines of the comment at the top.
    """
    lines = [f"# {line}" for line in lead]
    lines += _lines(keys_of(type(config)), literal(config.model_dump(mode="json")), "", set())
    return "\n".join(lines) + "\n"


def one_line_yaml(value: Any) -> str:
    """Plain data as YAML on one line."""
    return _dump(value, default_flow_style=True, width=float("inf")).removesuffix("...\n").strip()


def _dump(value: Any, **options: Any) -> str:
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, **options)
    return text


def _lines(section: Section, values: Mapping[str, Any], indent: str, explained: set[str]) -> Iterator[str]:
    """The lines of a section's keys; `explained` collects the sections that have comments already."""
    explained.add(section.name)
    for key in section.keys:
        if not indent and key.section is not None:
            yield ""
        comment = textwrap.wrap(_comment(key, values[key.name]), WIDTH - len(indent), break_on_hyphens=False)
        yield from (f"{indent}# {line}" for line in comment)
        yield from _value(key, values[key.name], indent, explained)


def _value(key: Key, value: Any, indent: str, explained: set[str]) -> Iterator[str]:
    """The lines of a key and its value."""
    deeper = f"{indent}  "
    if key.section is None or not value or key.section.name in explained:
        yield from _plain(key.name, value, indent)
    elif key.entries:
        yield f"{indent}{key.name}:"
        for number, (name, entry) in enumerate(value.items()):
            if number:
                yield from _plain(name, entry, deeper)
            else:
                yield f"{deeper}{one_line_yaml(name)}:"
                yield from _lines(key.section, entry, f"{deeper}  ", explained)
    else:
        yield f"{indent}{key.name}:"
        yield from _lines(key.section, value, deeper, explained)


def _plain(name: str, value: Any, indent: str) -> Iterator[str]:
    """The lines of a key without comments: a value, a list or a mapping of values on one line, or wrapped if long."""
    lead = f"{indent}{one_line_yaml(name)}:"
    if isinstance(value, dict) and any(isinstance(item, dict | list) for item in value.values()):
        yield lead
        for inner, item in value.items():
            yield from _plain(inner, item, f"{indent}  ")
    elif isinstance(value, dict | list):
        first, *rest = _dump(value, default_flow_style=True, width=WIDTH - len(indent)).strip().split("\n")
        yield f"{lead} {first}"
        yield from (f"{indent}{line}" for line in rest)
    else:
        yield f"{lead} {one_line_yaml(value)}"


def _comment(key: Key, value: Any) -> str:
    """The meaning of a key, and in parentheses its type and range, and its default where the value is another."""
    facts = [key.type, *([key.range] if key.range else [])]
    if key.section is not None and value is None:
        facts.append(f"keys {', '.join(inner.name for inner in key.section.keys)}")
    if key.default is not REQUIRED and key.default != value and not isinstance(key.default, dict):
        facts.append(f"default {one_line_yaml(key.default)}")
    return f"{key.meaning} ({'; '.join(facts)})" if facts != ["section"] else key.meaning
