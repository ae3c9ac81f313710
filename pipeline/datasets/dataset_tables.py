"""The tables of a dataset: those that are read, in which folders, and those that are not."""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from augment.errors import UserError
from pipeline.datasets.files.tree import Tree, without_mark
from pipeline.datasets.record import NO_FACTS, Facts, one_line
from pipeline.datasets.table import NO_ATTRIBUTES, TABLE, checked, read_table

CSV_TABLE = "metadata.csv"
TABLES = (TABLE, CSV_TABLE)
# Suffixes of tables, also in formats that are not read.
_ENDINGS = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", ".xlsx")
_DELIMITERS = ",;\t"
_FILE_NAME = "file_name"
_CAPTIONS = ("text", "caption")


@dataclass(frozen=True)
class Tables:
    """The ``facts`` of each image by its path below the root; ``rows`` are the images that each table names."""

    facts: Mapping[str, Facts] = field(default_factory=dict)
    rows: Mapping[str, Collection[str]] = field(default_factory=dict)

    def facts_of(self, _name: str, path: str) -> Facts:
        """The facts of the image at this path; takes a name too, as `records_of` gives one."""
        return self.facts.get(path, NO_FACTS)

    def require_use(self, tree: Tree, folder: str, images: Collection[str]) -> None:
        """Raise UserError for a table in the folder of these images that names none of them."""
        for path, named in self.rows.items():
            if posixpath.dirname(path) == folder and named and images and set(named).isdisjoint(images):
                expected, found = (posixpath.relpath(min(paths), folder or ".") for paths in (images, named))
                raise UserError(
                    f"{tree.at(path)} names none of the images beside it: expected file names such as {expected}, "
                    f"found {found}"
                )


def read_tables(tree: Tree, folders: Iterable[str] = ()) -> Tables:
    """The tables in the root, in these folders of images, and in those between; file names are relative to a table.

    Raises UserError for a table that cannot be read, and for an image in two tables.
    """
    facts: dict[str, Facts] = {}
    rows: dict[str, Collection[str]] = {}
    for folder in _with_parents(folders):
        for name in TABLES:
            path = posixpath.join(folder, name)
            found = read_table(tree, path) if name == TABLE else _read_csv(tree, path)
            found = {posixpath.normpath(posixpath.join(folder, image)): known for image, known in found.items()}
            if twice := facts.keys() & found.keys():
                other = next(table for table, named in rows.items() if min(twice) in named)
                raise UserError(f"{tree.at(path)} and {tree.at(other)} both describe {min(twice)}: keep one of them")
            facts |= found
            if found:
                rows[path] = found.keys()
    return Tables(facts, rows)


def unread_tables(tree: Tree, folders: Iterable[str], read: Collection[str]) -> list[str]:
    """Paths of the tables in the root, in these folders and in those between that are not ``read``; sorted."""
    found = [
        posixpath.join(folder, name)
        for folder in _with_parents(folders)
        for name, is_folder in tree.location.entries(folder)
        if not is_folder and name.lower().endswith(_ENDINGS) and not name.startswith(".")
    ]
    return sorted(path for path in found if path not in read)


def _with_parents(folders: Iterable[str]) -> list[str]:
    """The root, these folders and their parents, parents first."""
    every = {""}
    for folder in folders:
        parts = folder.split("/")
        every.update("/".join(parts[:count]) for count in range(1, len(parts) + 1))
    return sorted(every)


def _read_csv(tree: Tree, path: str) -> dict[str, Facts]:
    """The facts of each image in a CSV table; empty without a table.

    It has a column ``file_name``. ``text`` and ``caption`` are captions, every other column is an attribute of the
    images that have a value in it.
    """
    where = tree.at(path)
    try:
        text = without_mark(tree.location.read(path)).decode()
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: {one_line(error)}") from error
    header = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        columns = [name.strip() for name in next(rows, [])]
        known = [name.lower() if name.lower() in NO_ATTRIBUTES else name for name in columns]
        if _FILE_NAME not in known:
            raise UserError(f"{where} has no column {_FILE_NAME!r}: found {', '.join(columns) or 'no header'}")
        table: dict[str, Facts] = {}
        for row in rows:
            if not any(row):
                continue
            if len(row) != len(known):
                raise UserError(f"{where}, line {rows.line_num}: {len(row)} values for {len(known)} columns")
            values = {name: value.strip() for name, value in zip(known, row, strict=True) if value.strip()}
            checked(values.get(_FILE_NAME, ""), _facts(values), table, f"{where}, line {rows.line_num}")
    except csv.Error as error:
        raise UserError(f"{where}, line {rows.line_num}: {one_line(error)}") from error
    return table


def _facts(values: Mapping[str, str]) -> Facts:
    attributes = {name: value for name, value in values.items() if name not in NO_ATTRIBUTES}
    return Facts(attributes, tuple(values[name] for name in _CAPTIONS if name in values))
