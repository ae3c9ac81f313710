"""Taxonomies that are not known in advance: a user's own classes, or those in the files of a set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from augment.errors import UserError
from pipeline.taxonomies.taxonomy import IGNORE_8_BIT, IGNORE_16_BIT, Color, Taxonomy

_SCHEMA = TypeAdapter(Taxonomy)


def taxonomy_of_classes(name: str, classes: Sequence[str], things: Sequence[str] = ()) -> Taxonomy:
    """The taxonomy of these classes in this order, each in a colour of its own; 16-bit if 8 bits do not suffice.

    Raises ValueError where two classes share a name.
    """
    ignore_index = IGNORE_8_BIT if len(classes) <= IGNORE_8_BIT else IGNORE_16_BIT
    return Taxonomy(name, tuple(classes), distinct_palette(len(classes)), ignore_index, tuple(things))


def distinct_palette(count: int) -> tuple[Color, ...]:
    """``count`` RGB colours: all different, none black, always the same, and the first ones far apart.

    Bit j of a class's number, counted from 1, is bit 7 - j // 3 of channel j % 3, as in the colours of PASCAL VOC.
    """
    numbers = np.arange(1, count + 1)
    channels = [sum((numbers >> 3 * bit + channel & 1) << 7 - bit for bit in range(8)) for channel in range(3)]
    return tuple((int(red), int(green), int(blue)) for red, green, blue in zip(*channels, strict=True))


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
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise UserError(f"not a taxonomy: {where + ': ' if where else ''}{reason}") from error
