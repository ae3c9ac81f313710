"""What the values or colours in masks stand for."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError
from pipeline.datasets.base import Label, RecordError
from pipeline.datasets.class_files import Row, decode_text, is_whole, rows_of_csv, rows_of_json, rows_of_text
from pipeline.datasets.class_lines import COLOR, ID, NAME
from pipeline.datasets.colors import map_colors
from pipeline.datasets.images import count_values, map_ids
from pipeline.datasets.masks import PALETTE_MODES, Mask
from pipeline.datasets.tree import Tree
from pipeline.taxonomies import Taxonomy, taxonomy_of_classes
from pipeline.taxonomies.taxonomy import IGNORE_16_BIT, Color
from pipeline.taxonomies.user import taxonomy_from_json, taxonomy_to_json

# No file of classes is larger; another file that was named by mistake might be.
MAX_CHARACTERS = 1 << 24
# Of the classes that a user names; a JSON taxonomy has a name of its own.
SET_NAME = "folder"
# Names that say of pixels that they have no class.
_NO_CLASS = re.compile(r"[\W_]*(void|ignored?|unlabell?ed|unannotated|don'?t[ _]?care)[\W_]*", re.IGNORECASE)

_ADVICE = "; a row such as 255,void,R,G,B in the file of classes ignores a colour"
_NO_COLORS = ", as the file of classes states none: give it the columns r, g, b"


@dataclass(frozen=True)
class MaskClasses:
    """The classes of a set of masks: ``values[i]`` is what pixels of train id ``i`` have in the files.

    ``ignored`` is the value of pixels without a class; None is the taxonomy's own ignore index, unless that is the
    value of a class; the file of classes may state it (``states_ignored``), else it is so by default. ``colors[i]`` is
    the colour of train id ``i`` in masks of colours, None where no colours are stated, and ``ignored_colors`` are those
    of pixels without a class. ``values_stated`` says whether a file gives the values, which are places in it otherwise;
    ``advice`` is what messages say about colours of no class.
    """

    taxonomy: Taxonomy
    values: tuple[int, ...]
    ignored: int | None = None
    colors: tuple[Color, ...] | None = None
    ignored_colors: tuple[Color, ...] = ()
    values_stated: bool = False
    states_ignored: bool = False
    advice: str = ""

    def train_ids(self, mask: Mask, where: str) -> Label:
        """Train ids [H, W] of a mask as it is stored.

        One channel is read by its values, colours by the stated ones. Where one channel has colours too, of a palette
        or of three equal channels, those count if its values are none. Raises RecordError naming the file and every
        value or colour of no class, and for one whose values and colours contradict each other.
        """
        if mask.values.ndim == 3:
            return self._by_color(mask.values, where)
        if mask.palette is None or self.colors is None:
            return self._by_value(mask.values, where)
        table, known = self._table
        present = np.flatnonzero(count_values(mask.values))
        found = [self._found(mask.palette, value) for value in present.tolist()]
        are_values = bool(known[present].all())
        if None in found:
            is_gray = mask.mode not in PALETTE_MODES and not are_values
            return self._unknown_gray(mask, where) if is_gray else self._by_value(mask.values, where)
        by_color = np.array(found, self.taxonomy.dtype)
        differing = present[table[present] != by_color]
        if not are_values or (differing.size and not self.values_stated):
            return self._by_color(mask.palette[mask.values], where)
        if differing.size:
            value = int(differing[0])
            raise RecordError(
                f"ambiguous label: {where} has the value {value} in the colour {tuple(mask.palette[value].tolist())}, "
                "which are of two classes by the file of classes: leave out its ids or its colours"
            )
        return self._by_value(mask.values, where)

    @cached_property
    def _table(self) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The train id of each value of 16 bits, and whether it is one of a class or of none."""
        taxonomy = self.taxonomy
        table: NDArray[Any] = np.full(IGNORE_16_BIT + 1, taxonomy.ignore_index, taxonomy.dtype)
        known = np.zeros(IGNORE_16_BIT + 1, np.bool_)
        table[list(self.values)] = np.arange(len(taxonomy))
        known[[*self.values, taxonomy.ignore_index if self.ignored is None else self.ignored]] = True
        return table, known

    @cached_property
    def _by_its_color(self) -> dict[Color, int]:
        ignored = dict.fromkeys(self.ignored_colors, self.taxonomy.ignore_index)
        return ignored | {color: train_id for train_id, color in enumerate(self.colors or ())}

    @cached_property
    def _shared(self) -> dict[Color, list[str]]:
        """The colours that several classes have, with the names of these."""
        names: defaultdict[Color, list[str]] = defaultdict(list)
        for color, name in zip(self.colors or (), self.taxonomy.classes, strict=False):
            names[color].append(name)
        for color in self.ignored_colors:
            names[color].append("pixels that are ignored")
        return {color: found for color, found in names.items() if len(found) > 1}

    def _found(self, palette: NDArray[np.unsignedinteger], value: int) -> int | None:
        color = tuple(palette[value].tolist()) if value < len(palette) else None
        return None if color is None else self._by_its_color.get(color)

    def _by_value(self, values: NDArray[np.uint8] | NDArray[np.uint16], where: str) -> Label:
        table, known = self._table
        try:
            return map_ids(values, table, known, where)
        except RecordError as error:
            hint = "" if self.ignored is not None else "; set dataset.folder.ignore_index to a value of no class"
            raise RecordError(f"{error}{hint}") from error

    def _by_color(self, colors: NDArray[np.uint8] | NDArray[np.uint16], where: str) -> Label:
        label = map_colors(colors, self._by_its_color, where, self.taxonomy.dtype, self.advice)
        for color, names in self._shared.items():
            if (label == self._by_its_color[color]).any():
                both = " and ".join(names)
                raise RecordError(
                    f"ambiguous label colour: {where} has {color}, the colour of {both}: expected one each"
                )
        return label

    def _unknown_gray(self, mask: Mask, where: str) -> Label:
        """Fail for equal channels that hold neither values of classes nor their colours."""
        assert mask.palette is not None
        try:
            return self._by_color(mask.palette[mask.values], where)
        except RecordError as error:
            values = ", ".join(str(value) for value in self.values[:8]) + (", ..." if len(self.values) > 8 else "")
            raise RecordError(f"{error}; and its grey values are no ids, which are {values}") from error


def read_classes_file(tree: Tree, path: str, ignored: int | None) -> MaskClasses:
    """The classes that a file of the dataset describes, without the one whose value is ``ignored``.

    ``.txt``: a name a line, for the values from 0, or CVAT's label map. ``.csv``: the columns ``name`` and, if stated,
    ``id`` (else the row, from 0) and ``r``, ``g``, ``b``, or what else people call these. ``.json``: a list of objects
    with the same fields, or an object with ``classes`` and whatever else a `Taxonomy` has. Raises UserError, naming the
    file, for any other.
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
    if not is_whole(value := row.get(field)):
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
