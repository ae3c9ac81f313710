"""What ``key=value`` on a command line means, by the type that the schema gives the key."""

from __future__ import annotations

import difflib
import re
import types
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from augment.errors import UserError

_KEY = re.compile(r"(?P<sign>\+\+?|~)?(?P<name>[A-Za-z_][\w-]*(?:[./@:][\w-]+)*)")
_NULL = "null"


class Overrides:
    """Overrides as Hydra takes them.

    Hydra has a grammar of its own, in which quotes, brackets, ``=``, ``$`` and commas mean something. Where the schema
    asks for text, a word without any such sign stands in its place and is put back by `restored`, so that a path is
    taken letter for letter.

    Attributes:
        words: the overrides for Hydra, in their order.
    """

    def __init__(self, overrides: Iterable[str], schema: type[BaseModel], folders: Sequence[Path] = ()) -> None:
        """``folders`` hold the groups of configurations that a key may choose from.

        Raises:
            UserError: an override is not of the form key=value, chooses what is not there, or has a value that does
                not read as what its key takes.
        """
        self._texts: dict[str, str] = {}
        self._schema = schema
        self._folders = folders
        self.words = [self._word(override) for override in overrides]

    def restored(self, value: Any) -> Any:
        """A composed configuration with the texts in it again."""
        if isinstance(value, dict):
            return {self.restored(key): self.restored(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.restored(item) for item in value]
        if isinstance(value, str):
            for word, text in self._texts.items():
                value = value.replace(word, text)
        return value

    def _word(self, override: str) -> str:
        key, equals, value = override.partition("=")
        match = _KEY.fullmatch(key)
        if match is None or not (equals or match["sign"] == "~"):
            raise UserError(f"override {override!r} is not of the form key=value")
        sign, name = match["sign"] or "", match["name"]
        if sign == "~" or "@" in name:
            return override
        if (groups := self._choices(name)) is not None and not value.startswith("{"):
            if value not in groups:
                raise UserError(f"{name}={value}: {close_to(value, groups)}there are {', '.join(groups)}")
            return override
        # Any key is set, known to the recipe or not: which keys exist is for the schema alone to say.
        return f"++{name}={self._value(name, value)}"

    def _choices(self, name: str) -> list[str] | None:
        """What a group of configurations offers; None where there is no group of that name."""
        found = [folder / name for folder in self._folders if "." not in name and (folder / name).is_dir()]
        return sorted({path.stem for folder in found for path in folder.glob("*.yaml")}) if found else None

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
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.errors import HydraException

        expected = "a number, true, false, null, a word, a list [a, b] or a mapping {key: value}"
        try:
            parsed = OverridesParser.create().parse_override(f"++{name}={value}")
        except HydraException as error:
            raise UserError(
                f"{name}={value}: it does not read as {expected}; text with other signs in a list or mapping stands "
                'in double quotes, such as ["a, b"]'
            ) from error
        if parsed.is_sweep_override():
            raise UserError(f"{name}={value}: several values make a list, such as [a, b]; expected {expected}")
        return value


def literal(value: Any) -> Any:
    """Plain values in which OmegaConf reads a text such as ``${HOME}`` as these letters, and not as a reference."""
    if isinstance(value, dict):
        return {key: literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [literal(item) for item in value]
    if isinstance(value, str):
        # A backslash in front would keep the sign as it is, and so counts too.
        return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", value)
    return value


def close_to(name: str, known: Sequence[str]) -> str:
    """``did you mean 'camvid'? `` where one of the known names is near, and else nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}? " if close else ""


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
