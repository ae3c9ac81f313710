"""Taxonomies: class names, colours and the ignore index of a labelled set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError

Color = tuple[int, int, int]
# The highest value of an 8-bit and of a 16-bit label.
IGNORE_8_BIT, IGNORE_16_BIT = 255, 65535


@dataclass(frozen=True)
class Taxonomy:
    """The classes of a labelled set, by train id.

    ``classes[i]`` and ``palette[i]`` (RGB, 0..255) belong to train id ``i``; ``ignore_index`` marks pixels
    without a class and is no class itself: 255 in labels of 8 bits, 65535 in labels of 16. ``things`` are the classes
    with separate objects. Colours are for display, and two classes may share one. Raises ValueError for
    contradictions.
    """

    name: str
    classes: tuple[str, ...]
    palette: tuple[Color, ...]
    ignore_index: int = IGNORE_8_BIT
    things: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.classes) != len(self.palette):
            raise ValueError(f"{self.name}: {len(self.classes)} classes but {len(self.palette)} colours")
        if self.ignore_index < len(self.classes):
            raise ValueError(f"{self.name}: ignore index {self.ignore_index} is the id of a class")
        if self.ignore_index not in (IGNORE_8_BIT, IGNORE_16_BIT):
            raise ValueError(f"{self.name}: ignore index {self.ignore_index}, expected 255 or 65535")
        if twice := [name for name, count in Counter(self.classes).items() if count > 1]:
            raise ValueError(f"{self.name}: two classes are called {twice[0]!r}")
        if unknown := sorted(set(self.things) - set(self.classes)):
            raise ValueError(f"{self.name}: {unknown[0]!r} is among the things but no class")
        if wrong := [color for color in self.palette if not all(0 <= value <= 255 for value in color)]:
            raise ValueError(f"{self.name}: colour {wrong[0]} is not of values 0..255")

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def dtype(self) -> type[np.uint8 | np.uint16]:
        """Dtype of the labels: uint8, or uint16 if the ignore index is 65535."""
        return np.uint8 if self.ignore_index == IGNORE_8_BIT else np.uint16

    @cached_property
    def colors(self) -> NDArray[np.uint8]:
        """Colour of every possible id, uint8 [ignore_index + 1, 3]; black if the id is no class."""
        table = np.zeros((self.ignore_index + 1, 3), np.uint8)
        table[: len(self)] = self.palette
        table.flags.writeable = False
        return table

    @cached_property
    def is_id(self) -> NDArray[np.bool_]:
        """Whether a value is a class or the ignore index, bool [65536]."""
        table = np.zeros(IGNORE_16_BIT + 1, np.bool_)
        table[[*range(len(self)), self.ignore_index]] = True
        table.flags.writeable = False
        return table


def require_ids(label: NDArray[np.unsignedinteger], taxonomy: Taxonomy) -> None:
    """Raise UserError if a label map of 8 or 16 bits has an id that is neither a class nor the ignore index."""
    known = taxonomy.is_id[label]
    if not known.all():
        raise UserError(
            f"label has ids {np.unique(label[~known]).tolist()}: the {taxonomy.name} taxonomy has "
            f"0..{len(taxonomy) - 1} and {taxonomy.ignore_index} for ignore"
        )


def colorize(label: NDArray[np.unsignedinteger], taxonomy: Taxonomy) -> NDArray[np.uint8]:
    """Paint a label map in the colours of its taxonomy, ignored pixels black.

    Takes train ids [H, W] and returns RGB uint8 [H, W, 3]. Raises UserError for an id that is neither a class
    nor the ignore index.
    """
    require_ids(label, taxonomy)
    # Several times faster than indexing the colours with the label.
    return np.take(taxonomy.colors, label, axis=0)


def train_id_table(raw_ids: Iterable[int], taxonomy: Taxonomy) -> NDArray[np.uint8]:
    """Train id of every value that a label file of 8 bits can hold, uint8 [256].

    ``raw_ids`` gives the value in the files for each class in turn; all other values are ignored.
    """
    table = np.full(256, taxonomy.ignore_index, np.uint8)
    table[list(raw_ids)] = np.arange(len(taxonomy))
    return table
