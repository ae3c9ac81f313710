"""``metadata.jsonl``: attributes, captions and boxes of the images of a dataset, one line an image."""

from __future__ import annotations

import codecs
import posixpath
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from augment.errors import UserError
from pipeline.datasets.files.tree import Tree, without_mark
from pipeline.datasets.record import Box, Facts, one_line
from pipeline.store.sample import RESERVED_METADATA

# Every export has one, under the name that image folders of Hugging Face use too.
TABLE = "metadata.jsonl"
# Metadata of a sample that is not a scalar: captions, and boxes of objects.
CAPTIONS, BOXES = "captions", "boxes"
# Strings that describe the origin of a sample, not its content.
ORIGIN = frozenset(
    {"dataset", "split", "source", "source_key", "source_dataset", "prompt", "base", "adapter", "basis", "conditioning"}
)
# Fields of a row that name a sample, and do not describe its content.
NO_ATTRIBUTES = frozenset({"file_name", "text", "caption", "key", *ORIGIN})


class _Row(msgspec.Struct):
    file_name: str
    metadata: dict[str, Any] = {}
    # In tables of image-to-text sets.
    text: str | None = None
    caption: str | None = None


class _Metadata(msgspec.Struct):
    """The fields of a row's metadata that are used and are not strings."""

    captions: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()


def read_table(tree: Tree, path: str = TABLE) -> dict[str, Facts]:
    """The facts of each image by its path from the table's folder; empty without a table.

    A line is a JSON object with the path in ``file_name``, which may begin with ``./``. In its ``metadata``, strings
    are attributes, ``captions`` is a list of strings and ``boxes`` a list of objects with the fields of `Box`. In the
    line itself ``text`` or ``caption`` is another caption, and other strings are attributes. Raises UserError naming a
    line that is no such object, or names an image again.
    """
    if not tree.location.exists(path):
        return {}
    with tree.location.fetched(path) as file, file.open("rb") as lines:
        # Splitting bytes into lines is wrong for UTF-16.
        is_wide = lines.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        return _table(without_mark(lines.read()).splitlines() if is_wide else lines, tree.at(path))


def attributes_in(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The strings in a sample's metadata that describe its content, such as medium, time of day and weather."""
    return {name: value for name, value in metadata.items() if isinstance(value, str) and name not in ORIGIN}


def _facts(fields: Mapping[str, Any], row: _Row) -> Facts:
    beside = {name: value for name, value in fields.items() if isinstance(value, str) and name not in NO_ATTRIBUTES}
    found = msgspec.convert(row.metadata, _Metadata)
    captions = (*found.captions, *filter(None, (row.text, row.caption)))
    return Facts(beside | attributes_in(row.metadata), captions, found.boxes)


def _table(lines: Iterable[bytes], where: str) -> dict[str, Facts]:
    decoder, table = msgspec.json.Decoder(dict[str, Any]), dict[str, Facts]()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            # Some editors begin a file in UTF-8 with a byte order mark.
            fields = decoder.decode(line.removeprefix(codecs.BOM_UTF8))
            row = msgspec.convert(fields, _Row)
            facts = _facts(fields, row)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{where}, line {number}: {one_line(error)}") from error
        checked(row.file_name, facts, table, f"{where}, line {number}")
    return table


def checked(file_name: str, facts: Facts, table: dict[str, Facts], where: str) -> None:
    """Add the facts of an image to a table.

    Raises UserError naming the line, ``where``, if it names no image, one of an earlier line, or an attribute with a
    reserved name.
    """
    if not file_name:
        raise UserError(f"{where}: it names no image")
    if (path := posixpath.normpath(file_name)) in table:
        raise UserError(f"{where}: {path} is in an earlier line too")
    if bad := [name for name in facts.attributes if ":" in name or name in RESERVED_METADATA]:
        raise UserError(f"{where}: {bad[0]!r} cannot be the name of an attribute")
    table[path] = facts
