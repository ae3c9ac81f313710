"""``metadata.jsonl``: what is known of each image of a dataset, a line an image."""

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

# Every export has one; image folders in the form of Hugging Face call theirs so too.
TABLE = "metadata.jsonl"
# Metadata of a sample that no scalar holds: what people said of the image, and the boxes of its objects.
CAPTIONS, BOXES = "captions", "boxes"
# Strings that say where a sample comes from, and not what it shows.
ORIGIN = frozenset({"dataset", "split", "source", "source_key", "source_dataset", "prompt", "base", "adapter", "basis"})
# Fields of a row that say what a sample is called, and not what it shows.
NO_ATTRIBUTES = frozenset({"file_name", "text", "caption", "key", *ORIGIN})


class _Row(msgspec.Struct):
    file_name: str
    metadata: dict[str, Any] = {}
    # In tables of image-to-text sets.
    text: str | None = None
    caption: str | None = None


class _Metadata(msgspec.Struct):
    """What of a row's metadata is neither a string nor of no interest."""

    captions: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()


def read_table(tree: Tree, path: str = TABLE) -> dict[str, Facts]:
    """The facts of each image by its path from the table's folder; none where there is no table.

    A line is a JSON object with the path in ``file_name``, which may begin with ``./``. Of its ``metadata`` strings are
    attributes, and there may be ``captions``, a list of strings, and ``boxes``, a list of objects with the fields of
    `Box`. In the line itself ``text`` or ``caption`` is another caption, and other strings are attributes. Raises
    UserError naming the line that is no such object, or names an image again.
    """
    if not tree.location.exists(path):
        return {}
    with tree.location.fetched(path) as file, file.open("rb") as lines:
        # Python counts the lines of text in two bytes a letter wrong.
        is_wide = lines.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        return _table(without_mark(lines.read()).splitlines() if is_wide else lines, tree.at(path))


def attributes_in(metadata: Mapping[str, Any]) -> dict[str, str]:
    """What a sample's metadata says of its content: medium, time of day, weather and whatever else."""
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
            # Some editors begin a file with a mark that it is in UTF-8.
            fields = decoder.decode(line.removeprefix(codecs.BOM_UTF8))
            row = msgspec.convert(fields, _Row)
            facts = _facts(fields, row)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{where}, line {number}: {one_line(error)}") from error
        checked(row.file_name, facts, table, f"{where}, line {number}")
    return table


def checked(file_name: str, facts: Facts, table: dict[str, Facts], where: str) -> None:
    """Add the facts of an image to a table.

    Raises UserError naming the line, ``where``, that names no image or one again, or an attribute as none can be.
    """
    if not file_name:
        raise UserError(f"{where}: it names no image")
    if (path := posixpath.normpath(file_name)) in table:
        raise UserError(f"{where}: {path} is in an earlier line too")
    if bad := [name for name in facts.attributes if ":" in name or name in RESERVED_METADATA]:
        raise UserError(f"{where}: no attribute can have the name {bad[0]!r}")
    table[path] = facts
