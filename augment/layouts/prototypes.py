"""The mean layout of each class over a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file, save_file

from augment.errors import UserError
from augment.layouts.scene import in_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

# A layout also encodes the height in the image. A prototype of a row is a mean over the rows within this share of the
# height; far rows count for a little, so that a row in which the class does not occur has a prototype too.
_REACH, _LEAST_WEIGHT = 1 / 16, 1e-6


@dataclass(frozen=True)
class ClassPrototypes:
    """Sums of layouts by class and row, mergeable in any order: the cells of which a class has more than half.

    Attributes:
        sums: `float64 [C, h, K]`.
        counts: cells, `int64 [C, h]`.
    """

    sums: NDArray[np.float64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, layout: NDArray[np.floating], label: NDArray[np.unsignedinteger], num_classes: int) -> ClassPrototypes:
        """The sums of one layout `[K, h, w]` with its label `uint8|uint16 [8 h, 8 w]`; other ids are no class."""
        components, height, _ = layout.shape
        sums, counts = np.zeros((num_classes, height, components)), np.zeros((num_classes, height), np.int64)
        blocks, vectors = in_blocks(label), layout.astype(np.float64)
        for train_id in np.unique(label[label < num_classes]):
            cells = (blocks == train_id).mean(axis=(1, 3)) > 0.5
            counts[train_id] = cells.sum(axis=1)
            sums[train_id] = np.einsum("khw,hw->hk", vectors, cells)
        return cls(sums, counts)

    def merge(self, other: ClassPrototypes) -> ClassPrototypes:
        """The sums over both."""
        return ClassPrototypes(self.sums + other.sums, self.counts + other.counts)

    @classmethod
    def merged(cls, parts: Iterable[ClassPrototypes]) -> ClassPrototypes:
        """The sums over all parts, which must be at least one."""
        return reduce(cls.merge, parts)

    def of_class(self, train_id: int) -> NDArray[np.float16]:
        """The prototype of a class in each row, `float16 [h, K]`.

        Raises:
            UserError: the class has more than half of no cell.
        """
        if not 0 <= train_id < len(self.counts) or not self.counts[train_id].any():
            raise UserError(f"class {train_id} has no prototype: no cell of the layouts is mostly of it")
        rows = np.arange(self.counts.shape[1])
        distance = (rows[:, None] - rows) / (max(1.0, len(rows) * _REACH))
        weights = np.exp(-(distance**2) / 2) + _LEAST_WEIGHT
        means = (weights @ self.sums[train_id]) / (weights @ self.counts[train_id])[:, None]
        return means.astype(np.float16)

    def save(self, path: Path) -> None:
        """Write the sums as safetensors."""
        save_file({"sums": self.sums, "counts": self.counts}, path)

    @classmethod
    def load(cls, path: Path) -> ClassPrototypes:
        """Read what `save` wrote."""
        return cls(**load_file(path))
