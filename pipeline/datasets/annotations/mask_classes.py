"""Classes of the values or colours in masks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.annotations.color_labels import map_colors
from pipeline.datasets.files.images import count_values, map_ids
from pipeline.datasets.files.masks import PALETTE_MODES, Mask, greys_of
from pipeline.datasets.record import Label, RecordError
from pipeline.taxonomies import Taxonomy
from pipeline.taxonomies.taxonomy import IGNORE_16_BIT, Color


@dataclass(frozen=True)
class MaskClasses:
    """The classes of a set of masks: ``values[i]`` is the value of train id ``i`` in the files.

    ``ignored`` is the value of pixels without a class; None is the taxonomy's ignore index, unless a class has that
    value. ``states_ignored`` says whether the file of classes states it. ``colors[i]`` is the colour of train id ``i``
    in masks of colours, None if no colours are stated; ``ignored_colors`` are those of pixels without a class.
    ``values_stated`` says whether the file states the values, else they are row numbers. ``advice`` ends messages about
    unknown colours.
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

        One channel is read by its values, colours by the stated colours. For one channel that also has colours, of a
        palette or of three equal channels, these count if its values are no ids. One channel without colours holds
        greys if only greys and no ids are stated. Raises RecordError naming the file and every unknown value or colour,
        and if values and colours contradict each other.
        """
        if mask.values.ndim == 3:
            return self._by_color(mask.values, where)
        if self.colors is None:
            return self._by_value(mask, where)
        is_alone, palette = mask.palette is None, greys_of(mask)
        table, known = self._table
        present = np.flatnonzero(count_values(mask.values))
        by_color = {value: found for value in present.tolist() if (found := self._found(palette, value)) is not None}
        differing = [value for value, train_id in by_color.items() if table[value] != train_id]
        if len(by_color) < len(present):
            if is_alone and differing and self._are_only_greys:
                raise self._ambiguous(differing[0], palette, where)
            are_values = is_alone or mask.mode in PALETTE_MODES or bool(known[present].all())
            return self._by_value(mask, where) if are_values else self._unknown_gray(mask, where)
        # If the default ignored value is the colour of a class, it is not ignored here.
        white = self._ignored_by_default
        is_white = white in differing and by_color[white] != self.taxonomy.ignore_index
        are_values = bool(known[present].all()) and not is_white
        # One mask cannot show whether its values are ids or greys; equal channels are colours.
        may_be_either = self.values_stated or (is_alone and not self._are_only_greys)
        has_values = is_alone or mask.mode in PALETTE_MODES
        if not are_values and not (is_white and may_be_either and has_values):
            return self._by_color(palette[mask.values], where)
        if not differing or (is_alone and are_values and self.values_stated and mask.mode != "1"):
            return self._by_value(mask, where)
        if may_be_either:
            raise self._ambiguous(white if is_white else differing[0], palette, where)
        return self._by_color(palette[mask.values], where)

    def _ambiguous(self, value: int, palette: NDArray[np.unsignedinteger], where: str) -> RecordError:
        remedy = "leave out its ids or its colours" if self.values_stated else "state the ids of classes in it as well"
        if value == self._ignored_by_default:
            remedy = f"state the id {value} for the class, or dataset.folder.ignore_index={value} where it is none"
        return RecordError(
            f"ambiguous label: {where} has the value {value} in the colour {tuple(palette[value].tolist())}, which are "
            f"of two classes by the file of classes: {remedy}"
        )

    @property
    def _ignored_by_default(self) -> int:
        """The value of ignored pixels if it is not stated, else -1."""
        own = self.taxonomy.ignore_index
        return -1 if self.ignored is not None or self.states_ignored or own in self.values else own

    @cached_property
    def _are_only_greys(self) -> bool:
        """Whether classes have greys and no ids, so that one channel holds greys."""
        colors = (*(self.colors or ()), *self.ignored_colors)
        return not self.values_stated and all(len(set(color)) == 1 for color in colors)

    @cached_property
    def _table(self) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The train id of each 16-bit value, and whether the value is known (a class, or ignored)."""
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
        """The colours of several classes, with their names."""
        names: defaultdict[Color, list[str]] = defaultdict(list)
        for color, name in zip(self.colors or (), self.taxonomy.classes, strict=False):
            names[color].append(name)
        for color in self.ignored_colors:
            names[color].append("pixels that are ignored")
        return {color: found for color, found in names.items() if len(found) > 1}

    def _found(self, palette: NDArray[np.unsignedinteger], value: int) -> int | None:
        color = tuple(palette[value].tolist()) if value < len(palette) else None
        return None if color is None else self._by_its_color.get(color)

    def _by_value(self, mask: Mask, where: str) -> Label:
        values, (table, known) = self._values(mask, where), self._table
        try:
            return map_ids(values, table, known, where)
        except RecordError as error:
            hint = "; give it a class of its own in classes.csv (columns id and name)"
            if self.ignored is None:
                hint += ", or set dataset.folder.ignore_index to it where it is no class"
            raise RecordError(f"{error}{hint}") from error

    def _values(self, mask: Mask, where: str) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """The values of a mask: the indices of a palette, or its greys if the writer numbered these itself.

        GIF and tools that reduce colours store a grey mask as a palette of its greys.
        """
        palette = mask.palette
        if mask.mode not in PALETTE_MODES or palette is None or (palette != palette[:, :1]).any():
            return mask.values
        present = np.flatnonzero(count_values(mask.values))
        if present[-1] >= len(palette) or np.array_equal(greys := palette[present, 0], present):
            return mask.values
        # An image of two tones, such as of 1 bit.
        if self.values == (0, 1) and np.array_equal(greys, present * 255):
            return mask.values
        known = self._table[1]
        are_indices, are_greys = bool(known[present].all()), bool(known[greys].all())
        if are_indices and not (are_greys and self._ignored_by_default not in greys):
            raise RecordError(
                f"ambiguous label: {where} has a palette of greys, which shows the values {present.tolist()[:8]} as "
                f"{greys.tolist()[:8]}: save it as one grey channel of values, or state the colours of the classes"
            )
        return palette[:, 0][mask.values]

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
        """The error for equal channels that hold neither values nor colours of classes."""
        assert mask.palette is not None
        try:
            return self._by_color(mask.palette[mask.values], where)
        except RecordError as error:
            values = ", ".join(str(value) for value in self.values[:8]) + (", ..." if len(self.values) > 8 else "")
            raise RecordError(f"{error}; and its grey values are no ids, which are {values}") from error
