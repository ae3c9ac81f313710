"""Taxonomies that are not known beforehand: a user's own classes, or those that a set turns out to have."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from augment.errors import UserError
from pipeline.taxonomies.taxonomy import IGNORE_8_BIT, IGNORE_16_BIT, Color, Taxonomy

_SCHEMA = TypeAdapter(Taxonomy)


def taxonomy_of_classes(name: str, classes: Sequence[str], things: Sequence[str] = ()) -> Taxonomy:
    """The taxonomy of these classes in this order, in colours of their own; 16-bit where 8 bits do not suffice.

    Raises ValueError where two classes share a name.
    """
    ignore_index = IGNORE_8_BIT if len(classes) <= IGNORE_8_BIT else IGNORE_16_BIT
    return Taxonomy(name, tuple(classes), distinct_palette(len(classes)), ignore_index, tuple(things))


def distinct_palette(count: int) -> tuple[Color, ...]:
    """So many RGB colours, all different and none black, the same each time and far apart at the beginning.

    Bit j of a class's number, counted from 1, is bit 7 - j // 3 of channel j % 3, as in the colours of PASCAL VOC.
    """
    numbers = np.arange(1, count + 1)
    channels = [sum((numbers >> 3 * bit + channel & 1) << 7 - bit for bit in range(8)) for channel in range(3)]
    return tuple((int(red), int(green), int(blue)) for red, green, blue in zip(*channels, strict=True))


def read_classes(path: Path) -> Taxonomy:
    """The taxonomy that a classes file describes, named after the file.

    A ``.json`` file is an object with ``classes`` and, if wished, ``palette``, ``things`` and ``ignore_index``; any
    other file is text with one class a line. The order is that of the ids in the labels, from 0. Raises UserError,
    naming the file, where it is missing or is neither.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return _from_object(path.stem, text)
        return taxonomy_of_classes(path.stem, [line.strip() for line in text.splitlines() if line.strip()])
    except FileNotFoundError as error:
        raise UserError(f"classes file {path} does not exist: give one class a line, or a JSON object") from error
    except (ValueError, OSError, UserError) as error:
        raise UserError(f"classes file {path}: {error}") from error


def _from_object(name: str, text: str) -> Taxonomy:
    fields = json.loads(text)
    classes = fields.get("classes") if isinstance(fields, dict) else None
    if not isinstance(classes, list) or not classes:
        raise UserError('expected a JSON object with "classes": [a name for each id, from 0]')
    plain = taxonomy_to_json(taxonomy_of_classes(name, [str(entry) for entry in classes]))
    return taxonomy_from_json({**plain, **fields})


def taxonomy_to_json(taxonomy: Taxonomy) -> dict[str, Any]:
    """The whole taxonomy as a JSON object, which `taxonomy_from_json` reads."""
    plain: dict[str, Any] = _SCHEMA.dump_python(taxonomy, mode="json")
    return plain


def taxonomy_from_json(value: Mapping[str, Any]) -> Taxonomy:
    """The taxonomy of a JSON object with the fields of `Taxonomy`; raises UserError for any other."""
    if not isinstance(value, Mapping):
        raise UserError(f"not a taxonomy: {value!r} is no JSON object")
    try:
        if unknown := sorted(value.keys() - Taxonomy.__dataclass_fields__):
            raise UserError(f"a taxonomy has no {unknown[0]!r}: it has {', '.join(Taxonomy.__dataclass_fields__)}")
        return _SCHEMA.validate_python(dict(value))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        said = str(first["msg"]).removeprefix("Value error, ")
        raise UserError(f"not a taxonomy: {where + ': ' if where else ''}{said}") from error
