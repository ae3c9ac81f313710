"""Class names, colours and the ignore index of each labelled set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Taxonomy:
    """What the train ids of a labelled set mean.

    ``classes[i]`` and ``palette[i]`` (RGB, 0..255) belong to train id ``i``; ``ignore_index`` marks pixels
    that belong to no class and is no class itself.
    """

    name: str
    classes: tuple[str, ...]
    palette: tuple[Color, ...]
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if len(self.classes) != len(self.palette):
            raise ValueError(f"{self.name}: {len(self.classes)} classes but {len(self.palette)} colours")
        if self.ignore_index < len(self.classes):
            raise ValueError(f"{self.name}: ignore index {self.ignore_index} is the id of a class")

    def __len__(self) -> int:
        return len(self.classes)

    @cached_property
    def colors(self) -> NDArray[np.uint8]:
        """Colour of every possible id, uint8 [ignore_index + 1, 3]; black where the id is no class."""
        table = np.zeros((self.ignore_index + 1, 3), np.uint8)
        table[: len(self)] = self.palette
        table.flags.writeable = False
        return table


def colorize(label: NDArray[np.unsignedinteger], taxonomy: Taxonomy) -> NDArray[np.uint8]:
    """Paint a label map in the colours of its taxonomy, ignored pixels black.

    Takes train ids [H, W] and returns RGB uint8 [H, W, 3]. Raises UserError for an id that is neither a class
    nor the ignore index.
    """
    present = np.unique(label)
    unknown = present[(present >= len(taxonomy)) & (present != taxonomy.ignore_index)]
    if unknown.size:
        raise UserError(
            f"label has ids {unknown.tolist()}: the {taxonomy.name} taxonomy has 0..{len(taxonomy) - 1} "
            f"and {taxonomy.ignore_index} for ignore"
        )
    return taxonomy.colors[label]
