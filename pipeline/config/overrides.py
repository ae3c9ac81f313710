"""Reading ``key=value`` words of a command line, by the type that the schema gives the key."""

from __future__ import annotations

import re
import types
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel

from augment.errors import UserError
from augment.suggestion import suggest
from pipeline.config.choices import choices
from pipeline.config.schema import annotation_at, branches_of, is_text, section_of
from pipeline.config.validation import unknown_key

_KEY = re.compile(r"(?P<sign>\+\+?|~)?(?P<name>[A-Za-z_][\w-]*(?:[./@:][\w-]+)*)")
_NULL = "null"


class Overrides:
    """Overrides in Hydra's grammar, made from `key=value` words in which text is literal.

    In Hydra's grammar quotes, brackets, ``=``, ``$`` and commas have a meaning. Where the schema expects text, a
    placeholder without such characters replaces it, and `restored` puts the text back: a path is taken letter for
    letter.

    Attributes:
        words: the overrides for Hydra, in their order.
        plain: values of top-level keys that are no sections. Hydra would take such a key for a group where a folder of
            that name is beside the recipe, so they are set in the composed configuration.
    """

    def __init__(self, overrides: Iterable[str], schema: type[BaseModel], folders: Sequence[Path] = ()) -> None:
        """``folders`` contain the groups of configurations that a key may choose from.

        Raises:
            UserError: an override is not of the form key=value, names an unknown choice, or has a value that cannot be
                read as the type of its key.
        """
        self._texts: dict[str, str] = {}
        self._schema = schema
        self._folders = folders
        self.plain: dict[str, Any] = {}
        self.words: list[str] = []
        for override in overrides:
            self._read(override)

    def restored(self, value: Any) -> Any:
        """A composed configuration, or a message about it, with the texts in place of their placeholders."""
        if isinstance(value, dict):
            return {self.restored(key): self.restored(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.restored(item) for item in value]
        if isinstance(value, str):
            for word, text in self._texts.items():
                value = value.replace(word, text)
        return value

    def _read(self, override: str) -> None:
        key, equals, value = override.partition("=")
        match = _KEY.fullmatch(key)
        if match is None or not (equals or match["sign"] == "~"):
            raise UserError(f"override {override!r} is not of the form key=value")
        sign, name = match["sign"] or "", match["name"]
        if sign == "~":
            self.words.append(override)
            return
        group, at, _ = name.partition("@")
        location = name.split(".")
        if not at:
            self._require_known(location)
        is_section = section_of(annotation_at(location, self._schema)) is not None
        known = choices(self._folders, group) if at or (is_section and len(location) == 1) else []
        if known and value not in known and not value.startswith("{"):
            raise UserError(f"{name}={value}: {suggest(value, known)}")
        if at or value in known:
            self.words.append(override)
        elif len(location) == 1 and not is_section:
            self.plain[name] = self._parsed(name, self._value(name, value)).value()
        else:
            # Sets a key whether the recipe has it or not.
            self.words.append(f"++{name}={self._value(name, value)}")

    def _require_known(self, location: Sequence[str]) -> None:
        """Raise UserError for what Hydra would misread; all other keys are validated with the whole configuration."""
        if location[0] not in self._schema.model_fields:
            raise UserError(unknown_key(location[:1], self._schema))
        for depth in range(1, len(location)):
            branches = branches_of(annotation_at(location[:depth], self._schema))
            if any(get_origin(branch) in (tuple, list) for branch in branches) and not location[depth].isdigit():
                parent = ".".join(location[:depth])
                raise UserError(f"unknown key {'.'.join(location)!r}: {parent} is a list, set as {parent}=[a, b]")

    def _value(self, name: str, value: str) -> str:
        branches = branches_of(annotation_at(name.split("."), self._schema))
        if types.NoneType in branches and value.lower() == _NULL:
            return _NULL
        kinds = [branch for branch in branches if branch is not types.NoneType]
        may_be_list = any(get_origin(kind) in (tuple, list) for kind in kinds)
        if all(is_text(kind) or get_origin(kind) in (tuple, list) for kind in kinds) and any(map(is_text, kinds)):
            is_list = may_be_list and value.startswith("[") and value.endswith("]")
            return self._checked(name, value) if is_list else self._text(value)
        return self._checked(name, value) if kinds else self._text(value)

    def _text(self, text: str) -> str:
        word = f"text_{uuid.uuid4().hex}"
        self._texts[word] = text
        return word

    def _checked(self, name: str, value: str) -> str:
        self._parsed(name, value)
        return value

    def _parsed(self, name: str, value: str) -> Any:
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.errors import HydraException

        expected = "a number, true, false, null, a word, a list [a, b] or a mapping {key: value}"
        try:
            parsed = OverridesParser.create().parse_override(f"++{name}={value}")
        except HydraException as error:
            raise UserError(
                f"{name}={value}: expected {expected}; inside a list or mapping, put text with other characters in "
                'double quotes, such as ["a, b"]'
            ) from error
        if parsed.is_sweep_override():
            raise UserError(f"{name}={value}: put several values in a list, such as [a, b]; expected {expected}")
        return parsed


def literal(value: Any) -> Any:
    """Plain values with references escaped, so that OmegaConf reads a text such as ``${HOME}`` letter for letter."""
    if isinstance(value, dict):
        return {key: literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [literal(item) for item in value]
    if isinstance(value, str):
        # Backslashes before the sign are escapes as well, so they are doubled.
        return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", value)
    return value
