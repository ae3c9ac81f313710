"""Files of classes as people have them: a name a line, tables in any of the usual forms, JSON."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from augment.errors import UserError

NAME, ID, COLOR = "name", "id", ("r", "g", "b")
DELIMITERS = (",", ";", "\t")
# What columns are called, in small letters and with single spaces; the first that there is counts.
_NAMES = ("name", "class name", "label name", "category name", "class", "label", "category")
_IDS = ("id", "class id", "label id", "category id", "pixel value", "value", "pixel", "index")
_CHANNELS = (("r", "red"), ("g", "green"), ("b", "blue"))
_COLORS = ("color", "colour", "rgb", "hex")
_EXPECTED = "expected name and, where stated, id and r, g, b, separated by comma, semicolon or tab"
# Spreadsheets say so in a line of its own which delimiter they write.
_SEPARATOR_LINE = re.compile(r"sep=.\r?\n", re.IGNORECASE)
# A class of CVAT's label map: its name, its colour, and two fields that say nothing of masks.
_LABEL_MAP_LINE = re.compile(r"([^:]+):(\d+),\s*(\d+),\s*(\d+):[^:]*:[^:]*")
_HEX = re.compile(r"#?([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})", re.IGNORECASE)

# A class with its fields "name", "id" and "r", "g", "b", as far as they are stated.
Row = Mapping[str, Any]


def decode_text(data: bytes) -> str:
    """Text in UTF-8, or in UTF-16 where a byte order mark says so; raises UserError for another encoding."""
    try:
        return data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"it is no text in UTF-8 ({error}): save it as such") from error


def rows_of_text(text: str) -> list[Row]:
    """A class for each line, or for each of CVAT's label map (``name:r,g,b::``)."""
    lines = text.rstrip().splitlines()
    mapped = [line for line in lines if line.strip() and not line.startswith("#")]
    found = [_LABEL_MAP_LINE.fullmatch(line.strip()) for line in mapped]
    if mapped and all(found):
        return [dict(zip((NAME, *COLOR), match.groups(), strict=True)) for match in found if match]
    # A blank line in between is a class without a name, which is refused.
    return [{NAME: line} for line in lines]


def rows_of_csv(text: str) -> list[Row]:
    """The classes of a table with a header, in whichever capitals and separated by whichever delimiter.

    Raises UserError that names the columns found where none is a name, and for lines that do not fit the header.
    """
    text = _SEPARATOR_LINE.sub("", text, count=1) if _SEPARATOR_LINE.match(text) else text
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=lambda mark: (NAME in _roles(_cells([first], mark)[0]), first.count(mark)))
    lines = [[cell.strip() for cell in line] for line in _cells(io.StringIO(text, newline=""), delimiter) if line]
    # Spreadsheets write lines of nothing but delimiters below their last.
    while lines and not any(lines[-1]):
        lines.pop()
    if not lines:
        return []
    header, *body = lines
    for number, line in enumerate(body, 2):
        if any(line[len(header) :]):
            raise UserError(
                f"row {number} has {len(line)} fields and the header {len(header)}: quote what holds {delimiter!r}"
            )
    return _by_field([dict(zip(header, [*line, *[""] * len(header)], strict=False)) for line in body], header)


def rows_of_json(content: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The classes of a list of JSON objects; raises UserError that names the fields found where none is a name."""
    return _by_field(content, list(dict.fromkeys(str(key) for row in content for key in row))) if content else []


def _cells(lines: Iterable[str], delimiter: str) -> list[list[str]]:
    try:
        return list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True)) or [[]]
    except csv.Error as error:
        raise UserError(f"it is no table ({error})") from error


def _plain(column: str) -> str:
    return " ".join(re.split(r"[\s_-]+", column.strip().lower())).strip()


def _roles(columns: Sequence[str]) -> dict[str, str]:
    """The column that holds each field, as far as there is one."""
    named = {_plain(column): column for column in reversed(columns)}
    ways = {NAME: _NAMES, ID: _IDS, **dict(zip(COLOR, _CHANNELS, strict=True))}
    found = ((field, next((named[name] for name in names if name in named), None)) for field, names in ways.items())
    return {field: column for field, column in found if column is not None}


def _by_field(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[Row]:
    """The rows with the fields that their columns mean."""
    roles = _roles(columns)
    found = f"its columns are {', '.join(repr(column) for column in columns)}"
    if NAME not in roles:
        raise UserError(f"{found}: {_EXPECTED}")
    channels = [channel for channel in COLOR if channel in roles]
    if channels and len(channels) < len(COLOR):
        raise UserError(f"{found}: give all of r, g and b, or none")
    # Beside a name, what is called class may be its number.
    number = next((column for column in columns if _plain(column) == "class" and column != roles[NAME]), None)
    if ID not in roles and number and all(str(row.get(number, "")).strip().isdigit() for row in rows):
        roles[ID] = number
    fields: list[Row] = [{field: row.get(column) for field, column in roles.items()} for row in rows]
    color = next((column for column in columns if _plain(column) in _COLORS), None)
    if channels or color is None:
        return fields
    return [{**row, **_channels(given.get(color), row[NAME])} for row, given in zip(fields, rows, strict=True)]


def _channels(color: Any, name: Any) -> dict[str, int]:
    """A colour in one field, as ``#RRGGBB`` or as three numbers."""
    if isinstance(color, str):
        if match := _HEX.fullmatch(color.strip()):
            return {channel: int(value, 16) for channel, value in zip(COLOR, match.groups(), strict=True)}
        color = [int(value) for value in re.findall(r"\d+", color)]
    if not isinstance(color, list) or len(color) != len(COLOR):
        raise UserError(f"class {name!r} has the colour {color!r}: expected #RRGGBB or three numbers")
    return dict(zip(COLOR, color, strict=True))
