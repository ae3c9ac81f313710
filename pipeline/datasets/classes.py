"""Files that say what the values in masks stand for."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError
from pipeline.datasets.base import Label, RecordError
from pipeline.datasets.images import map_ids
from pipeline.datasets.tree import Tree
from pipeline.taxonomies import Taxonomy, taxonomy_of_classes
from pipeline.taxonomies.taxonomy import IGNORE_16_BIT, Color
from pipeline.taxonomies.user import taxonomy_from_json, taxonomy_to_json

# No file of classes is larger; another file that was named by mistake might be.
MAX_CHARACTERS = 1 << 24
# Of the classes that a user names; a JSON taxonomy has a name of its own.
NAME = "folder"


@dataclass(frozen=True)
class MaskClasses:
    """The classes of a set of masks: ``values[i]`` is what pixels of train id ``i`` have in the files.

    ``ignored`` is the value of pixels without a class; None is the taxonomy's own ignore index, which the file of
    classes may state (``states_ignored``) or which is so by default.
    """

    taxonomy: Taxonomy
    values: tuple[int, ...]
    ignored: int | None = None
    states_ignored: bool = False

    def train_ids(self, ids: NDArray[np.uint8 | np.uint16], where: str) -> Label:
        """Train ids of a mask as it is stored; raises RecordError naming the file and every value of no class."""
        taxonomy = self.taxonomy
        table: NDArray[Any] = np.full(IGNORE_16_BIT + 1, taxonomy.ignore_index, taxonomy.dtype)
        known = np.zeros(IGNORE_16_BIT + 1, np.bool_)
        table[list(self.values)] = np.arange(len(taxonomy))
        known[[*self.values, taxonomy.ignore_index if self.ignored is None else self.ignored]] = True
        try:
            return map_ids(ids, table, known, where)
        except RecordError as error:
            hint = "" if self.ignored is not None else "; set dataset.folder.ignore_index to a value of no class"
            raise RecordError(f"{error}{hint}") from error


def read_classes_file(tree: Tree, path: str, ignored: int | None) -> MaskClasses:
    """The classes that a file of the dataset describes, without the one whose value is ``ignored``.

    ``.txt``: a name a line, for the values from 0. ``.csv``: the columns ``name`` and, if wished, ``id`` (else the
    row, from 0) and ``r``, ``g``, ``b``. ``.json``: a list of objects with the same fields, or an object with
    ``classes`` and whatever else a `Taxonomy` has. Raises UserError, naming the file, for any other.
    """
    try:
        text = tree.location.read(path)[:MAX_CHARACTERS].decode("utf-8-sig")
        classes = _parsed(path.rpartition(".")[2].lower(), text)
        return _without(classes, ignored)
    except FileNotFoundError as error:
        raise UserError(f"classes file {tree.at(path)} does not exist: give one class a line") from error
    except (ValueError, UserError) as error:
        raise UserError(f"classes file {tree.at(path)}: {' '.join(str(error).split())}") from error


def _parsed(suffix: str, text: str) -> MaskClasses:
    if suffix == "csv":
        return _of_rows(list(csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)))
    if suffix != "json":
        # A blank line in between would be a class without a name, and is told so.
        return _of_rows([{"name": line} for line in text.rstrip().splitlines()])
    content = json.loads(text)
    if isinstance(content, dict):
        taxonomy = _of_object(content)
        return MaskClasses(taxonomy, tuple(range(len(taxonomy))), states_ignored="ignore_index" in content)
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise UserError('expected an object with "classes", or a list of objects with "name" and "id"')
    return _of_rows(content)


def _of_object(content: Mapping[str, Any]) -> Taxonomy:
    names = content.get("classes")
    if not isinstance(names, list) or not names:
        raise UserError('expected a JSON object with "classes": [a name for each value, from 0]')
    plain = taxonomy_to_json(taxonomy_of_classes(NAME, [str(name) for name in names]))
    return taxonomy_from_json({**plain, **content})


def _of_rows(rows: Sequence[Mapping[str, Any]]) -> MaskClasses:
    if not rows:
        raise UserError("it names no class")
    if missing := next((place for place, row in enumerate(rows, 1) if not str(row.get("name") or "").strip()), None):
        raise UserError(f"class {missing} of {len(rows)} has no name: expected the fields name, id, r, g, b")
    by_value = {_value(row, place): row for place, row in enumerate(rows)}
    if len(by_value) < len(rows):
        raise UserError(f"two of its {len(rows)} classes have the same id")
    ordered = [by_value[value] for value in sorted(by_value)]
    taxonomy = taxonomy_of_classes(NAME, [str(row["name"]).strip() for row in ordered])
    if any("r" in row for row in ordered):
        taxonomy = replace(taxonomy, palette=tuple(_color(row) for row in ordered))
    return MaskClasses(taxonomy, tuple(sorted(by_value)))


def _value(row: Mapping[str, Any], place: int) -> int:
    value = _integer(row, "id") if "id" in row else place
    if not 0 <= value <= IGNORE_16_BIT:
        raise UserError(f"class {row['name']!r} has the id {value}: expected 0..{IGNORE_16_BIT}")
    return value


def _color(row: Mapping[str, Any]) -> Color:
    return _integer(row, "r"), _integer(row, "g"), _integer(row, "b")


def _integer(row: Mapping[str, Any], field: str) -> int:
    try:
        return int(row[field])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"class {row['name']!r} has {field}={row.get(field)!r}: expected a whole number") from error


def _without(classes: MaskClasses, ignored: int | None) -> MaskClasses:
    taxonomy = classes.taxonomy
    own = taxonomy.ignore_index if ignored is None else ignored
    kept = [train_id for train_id, value in enumerate(classes.values) if value != own]
    names = tuple(taxonomy.classes[train_id] for train_id in kept)
    if not names:
        raise UserError(f"it names no class but that of the value {own}, which is ignored")
    palette = tuple(taxonomy.palette[train_id] for train_id in kept)
    things = tuple(name for name in taxonomy.things if name in names)
    left = replace(taxonomy, classes=names, palette=palette, things=things)
    values = tuple(classes.values[train_id] for train_id in kept)
    return MaskClasses(left, values, ignored, classes.states_ignored)
