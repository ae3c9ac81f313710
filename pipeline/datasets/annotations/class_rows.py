"""Rows of files of classes: a name a line, tables in their usual forms, JSON."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from augment.errors import UserError
from pipeline.datasets.annotations.class_lines import COLOR, ID, NAME, class_lines

DELIMITERS = (",", ";", "\t")
# Names of columns, in lower case and without spaces; the first that is found counts.
_NAMES = ("name", "classname", "labelname", "categoryname", "class", "label", "category")
# Values of pixels come first: an id beside them is a number that masks do not hold.
_PIXEL_VALUES = (
    *("pixelvalue", "maskvalue", "labelvalue", "classvalue", "grayvalue", "greyvalue", "graylevel", "greylevel"),
    *("maskid", "pixelid"),
)
_IDS = (
    *_PIXEL_VALUES,
    *("id", "ids", "classid", "labelid", "categoryid", "value", "pixel", "index"),
    *("classindex", "labelindex", "categoryindex", "classnumber", "labelnumber", "trainid"),
)
# Columns that hold ids where all their values are whole numbers.
_NUMBERS = ("idx", "number", "code", "gray", "grey", "nr", "no", "num", "key", "class", "label")
# Columns of 0 and 1 that answer a question.
_FLAGS = ("is", "has")
_CHANNELS = (("r", "red"), ("g", "green"), ("b", "blue"))
_COLORS = ("color", "colour", "rgb", "hex")
_EXPECTED = "expected name and, where stated, id and r, g, b, separated by comma, semicolon or tab"
# Spreadsheets state the delimiter in a line of its own.
_SEPARATOR_LINE = re.compile(r"sep=.\r?\n", re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?[0-9]+(\.0*)?")
_HEX = re.compile(r"#?([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})", re.IGNORECASE)

# A class with those of the fields "name", "id" and "r", "g", "b" that are stated.
Row = Mapping[str, Any]


def decode_text(data: bytes) -> str:
    """Text in UTF-8, or in UTF-16 where a byte order mark says so; raises UserError for another encoding."""
    try:
        return data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"it is not text in UTF-8 ({error}): save it as UTF-8") from error


def rows_of_text(text: str) -> list[Row]:
    """A class for each line, with or without numbers (see ``class_lines``), or for each row of a table with a header.

    Raises UserError for lines of several forms, and if a header or a comment would become a class.
    """
    lines = text.rstrip().splitlines()
    # Comments come before the classes. Further down, one may be a class that was taken out, and ids may shift.
    while lines and lines[0].lstrip().startswith("#"):
        del lines[0]
    if _is_table(lines):
        return rows_of_csv("\n".join(lines))
    return [{NAME: name, **numbers} for name, numbers in class_lines(lines)]


def rows_of_csv(text: str) -> list[Row]:
    """The classes of a table with a header, in any case and with any delimiter.

    Raises UserError naming the columns if none is a name, and for lines that do not fit the header.
    """
    text = _SEPARATOR_LINE.sub("", text, count=1) if _SEPARATOR_LINE.match(text) else text
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=lambda mark: (NAME in _roles(_cells([first], mark)[0]), first.count(mark)))
    lines = [[cell.strip() for cell in line] for line in _cells(io.StringIO(text, newline=""), delimiter) if line]
    # Spreadsheets write lines of delimiters only after the last row.
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
    """The classes of a list of JSON objects; raises UserError naming the fields if none is a name."""
    return _by_field(content, list(dict.fromkeys(str(key) for row in content for key in row))) if content else []


def _is_table(lines: Sequence[str]) -> bool:
    """Whether the first line is a header of two or more columns; raises UserError for a header of names only."""
    first = lines[0] if lines else ""
    if _plain(first) in (*_NAMES, "names", "classes", "labels", "categories") and len(lines) > 1:
        raise UserError(f"its first line is {first.strip()!r}, which is a header: delete it, or use a CSV file")
    columns = max((_cells([first], mark)[0] for mark in DELIMITERS), key=len)
    roles = _roles(columns)
    return len(columns) > 1 and NAME in roles and (len(roles) > 1 or any(_plain(c) in _NUMBERS[:-2] for c in columns))


def _cells(lines: Iterable[str], delimiter: str) -> list[list[str]]:
    try:
        return list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True)) or [[]]
    except csv.Error as error:
        raise UserError(f"it is no table ({error})") from error


def _plain(column: str) -> str:
    return re.sub(r"[\W_]+", "", column.lower())


def is_whole(value: Any) -> bool:
    """Whether a cell or a JSON value is a whole number, such as ``7``, ``"7"`` or the ``7.0`` of data frames."""
    if isinstance(value, bool):
        return False
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) or (isinstance(value, str) and _WHOLE.fullmatch(value.strip()) is not None)


def _roles(columns: Sequence[str]) -> dict[str, str]:
    """The column of each field that has one."""
    named = {_plain(column): column for column in reversed(columns)}
    ways = {NAME: _NAMES, ID: _IDS, **dict(zip(COLOR, _CHANNELS, strict=True))}
    found = ((field, next((named[name] for name in names if name in named), None)) for field, names in ways.items())
    return {field: column for field, column in found if column is not None}


def _by_field(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[Row]:
    """The rows by field instead of by column."""
    roles = _roles(columns)
    found = f"its columns are {', '.join(repr(column) for column in columns)}"
    if NAME not in roles:
        raise UserError(f"{found}: {_EXPECTED}")
    # A column called class or label may hold numbers, and another the names.
    called = [column for name in _NAMES for column in columns if _plain(column) == name]
    roles[NAME] = next((c for c in called if not all(is_whole(row.get(c)) for row in rows)), roles[NAME])
    channels = [channel for channel in COLOR if channel in roles]
    if channels and len(channels) < len(COLOR):
        raise UserError(f"{found}: give all of r, g and b, or none")
    if ID not in roles:
        roles |= _numbered(rows, columns, roles)
    fields: list[Row] = [{field: row.get(column) for field, column in roles.items()} for row in rows]
    color = next((column for column in columns if _plain(column) in _COLORS), None)
    if channels or color is None:
        return fields
    return [{**row, **_channels(given.get(color), row[NAME])} for row, given in zip(fields, rows, strict=True)]


def _numbered(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], roles: Mapping[str, str]) -> dict[str, str]:
    """The column of ids under another name, if any.

    Raises UserError for a column that may hold ids, as its numbers are not row numbers.
    """
    left = [column for column in columns if column not in roles.values() and _plain(column) not in _COLORS]
    numbers = {
        column: [int(float(row[column])) for row in rows]
        for column in left
        if rows and all(is_whole(row.get(column)) for row in rows) and not _plain(column).startswith(_FLAGS)
    }
    if found := next((column for name in _NUMBERS for column in numbers if _plain(column) == name), None):
        return {ID: found}
    for column, values in numbers.items():
        if len(set(values)) == len(values) and values != list(range(len(values))):
            raise UserError(
                f"its column {column!r} holds {values[0]} for class {rows[0][roles[NAME]]!r}, which may be its value "
                "in the masks: call the column id if it is, else leave it out"
            )
    return {}


def _channels(color: Any, name: Any) -> dict[str, int]:
    """A colour in one field, as ``#RRGGBB`` or as three numbers."""
    if isinstance(color, str):
        if match := _HEX.fullmatch(color.strip()):
            return {channel: int(value, 16) for channel, value in zip(COLOR, match.groups(), strict=True)}
        color = [int(value) for value in re.findall(r"\d+", color)]
    if not isinstance(color, list) or len(color) != len(COLOR):
        raise UserError(f"class {name!r} has the colour {color!r}: expected #RRGGBB or three numbers")
    return dict(zip(COLOR, color, strict=True))
