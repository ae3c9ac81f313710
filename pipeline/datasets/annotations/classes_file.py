"""Files of classes: the meaning of values or colours in masks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from augment.errors import UserError
from pipeline.datasets.annotations.class_lines import COLOR, ID, NAME
from pipeline.datasets.annotations.class_rows import (
    Row,
    decode_text,
    is_whole,
    rows_of_csv,
    rows_of_json,
    rows_of_text,
)
from pipeline.datasets.annotations.mask_classes import MaskClasses
from pipeline.datasets.files.tree import Tree
from pipeline.taxonomies import Taxonomy, taxonomy_of_classes
from pipeline.taxonomies.taxonomy import IGNORE_16_BIT, Color
from pipeline.taxonomies.user import taxonomy_from_json, taxonomy_to_json

# No file of classes is larger, but a file named by mistake may be.
MAX_CHARACTERS = 1 << 24
# Name of a taxonomy that the file does not name.
SET_NAME = "folder"
# Names of pixels without a class.
_NO_CLASS = re.compile(r"[\W_]*(void|ignored?|unlabell?ed|unannotated|don'?t[ _]?care)[\W_]*", re.IGNORECASE)

_ADVICE = "; a row such as 255,void,R,G,B in the file of classes ignores a colour"
_NO_COLORS = ", as the file of classes states none: give it the columns r, g, b"


def read_classes_file(tree: Tree, path: str, ignored: int | None) -> MaskClasses:
    """The classes in a file of the dataset, without the one that has the value ``ignored``.

    ``.txt``: a name a line, for the values from 0, or CVAT's label map. ``.csv``: the columns ``name`` and, if stated,
    ``id`` (else the row, from 0) and ``r``, ``g``, ``b``, or other usual names of these. ``.json``: a list of objects
    with the same fields, or an object with ``classes`` and other fields of a `Taxonomy`. Raises UserError naming a file
    of any other content.
    """
    try:
        text = decode_text(tree.location.read(path))[:MAX_CHARACTERS]
        classes = _parsed(path.rpartition(".")[2].lower(), text)
        return replace(_without(classes, ignored), advice=_ADVICE if classes.colors else _NO_COLORS)
    except FileNotFoundError as error:
        raise UserError(f"classes file {tree.at(path)} does not exist: give one class a line") from error
    except (ValueError, UserError) as error:
        raise UserError(f"classes file {tree.at(path)}: {' '.join(str(error).split())}") from error


def _parsed(suffix: str, text: str) -> MaskClasses:
    if suffix == "csv":
        return _of_rows(rows_of_csv(text))
    if suffix != "json":
        return _of_rows(rows_of_text(text))
    content = json.loads(text)
    if isinstance(content, dict):
        taxonomy = _of_object(content)
        colors = taxonomy.palette if "palette" in content else None
        states_ignored = "ignore_index" in content
        values = tuple(range(len(taxonomy)))
        return MaskClasses(taxonomy, values, colors=colors, values_stated=True, states_ignored=states_ignored)
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise UserError('expected an object with "classes", or a list of objects with "name" and "id"')
    return _of_rows(rows_of_json(content))


def _of_object(content: Mapping[str, Any]) -> Taxonomy:
    names = content.get("classes")
    if not isinstance(names, list) or not names:
        raise UserError('expected a JSON object with "classes": [a name for each value, from 0]')
    plain = taxonomy_to_json(taxonomy_of_classes(SET_NAME, [str(name) for name in names]))
    return taxonomy_from_json({**plain, **content})


def _of_rows(rows: Sequence[Row]) -> MaskClasses:
    if not rows:
        raise UserError("it names no class")
    if missing := next((place for place, row in enumerate(rows, 1) if not str(row.get(NAME) or "").strip()), None):
        raise UserError(f"class {missing} of {len(rows)} has no name")
    by_value = {_value(row, place): row for place, row in enumerate(rows)}
    if len(by_value) < len(rows):
        raise UserError(f"two of its {len(rows)} classes have the same id")
    ordered = [by_value[value] for value in sorted(by_value)]
    taxonomy = taxonomy_of_classes(SET_NAME, [str(row[NAME]).strip() for row in ordered])
    colors = tuple(_color(row) for row in ordered) if any(COLOR[0] in row for row in ordered) else None
    if colors is not None:
        taxonomy = replace(taxonomy, palette=colors)
    stated = any(ID in row for row in rows)
    return MaskClasses(taxonomy, tuple(sorted(by_value)), colors=colors, values_stated=stated)


def _value(row: Row, place: int) -> int:
    value = _integer(row, ID) if ID in row else place
    if not 0 <= value <= IGNORE_16_BIT:
        raise UserError(f"class {row[NAME]!r} has the id {value}: expected 0..{IGNORE_16_BIT}")
    return value


def _color(row: Row) -> Color:
    red, green, blue = (_integer(row, channel) for channel in COLOR)
    return red, green, blue


def _integer(row: Row, field: str) -> int:
    value: Any = row.get(field)
    if not is_whole(value):
        raise UserError(f"class {row[NAME]!r} has {field}={value!r}: expected a whole number")
    return int(float(value))


def _without(classes: MaskClasses, ignored: int | None) -> MaskClasses:
    taxonomy = classes.taxonomy
    own = taxonomy.ignore_index if ignored is None else ignored
    named = dict(zip(classes.values, taxonomy.classes, strict=True)).get(own)
    if named is not None and classes.values_stated and own == taxonomy.ignore_index and not _NO_CLASS.fullmatch(named):
        if ignored is not None:
            raise UserError(
                f"it gives {named!r} the id {own}, which dataset.folder.ignore_index={ignored} ignores: leave out "
                "one of the two"
            )
        return classes
    kept = [train_id for train_id, value in enumerate(classes.values) if value != own]
    names = tuple(taxonomy.classes[train_id] for train_id in kept)
    if not names:
        raise UserError(f"it names no class but that of the value {own}, which is ignored")
    palette = tuple(taxonomy.palette[train_id] for train_id in kept)
    things = tuple(name for name in taxonomy.things if name in names)
    left = replace(taxonomy, classes=names, palette=palette, things=things)
    dropped = tuple(taxonomy.palette[train_id] for train_id in range(len(taxonomy)) if train_id not in kept)
    return replace(
        classes,
        taxonomy=left,
        values=tuple(classes.values[train_id] for train_id in kept),
        ignored=ignored,
        colors=None if classes.colors is None else palette,
        ignored_colors=() if classes.colors is None else dropped,
    )
