"""Counting the pixels of each class in every label, before images are chosen by their classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from augment.errors import UserError
from pipeline.datasets.sampling import ClassCounts
from pipeline.engine import Executor, Failed, Resources, Source, WorkUnit


@dataclass(frozen=True)
class CountClasses:
    """Counts the pixels of each class in the labels of a unit; samples without a label are left out.

    Attributes:
        source: reads the labels.
        classes: number of classes, C.
        resources: of one worker.
    """

    source: Source
    classes: int
    resources: Resources
    name: str = "count classes"

    def setup(self) -> None:
        """Nothing to load."""

    def run(self, unit: WorkUnit) -> list[tuple[str, NDArray[np.int64]] | Failed]:
        """The key and the counts int64 [C] of each labelled image, and the failures."""
        found: list[tuple[str, NDArray[np.int64]] | Failed] = []
        for sample in self.source.read(unit):
            if isinstance(sample, Failed):
                found.append(sample)
            elif sample.label is not None:
                pixels = np.bincount(sample.label.ravel(), minlength=self.classes)[: self.classes]
                found.append((sample.key, pixels.astype(np.int64)))
        return found


def count_classes(task: CountClasses, units: Sequence[WorkUnit], executor: Executor) -> tuple[ClassCounts, int]:
    """The counts of all labelled images of the units, and the number of labels that could not be read.

    Raises:
        UserError: no label could be read.
    """
    rows: list[tuple[str, NDArray[np.int64]]] = []
    failures: list[Failed] = []
    for _, found in executor.map(task, units):
        rows += [row for row in found if not isinstance(row, Failed)]
        failures += [row for row in found if isinstance(row, Failed)]
    if failures and not rows:
        first = failures[0]
        raise UserError(f"no label could be read to count its classes, such as {first.key}: {first.reason}")
    return ClassCounts.of(rows, task.classes), len(failures)


def write_counts(counts: ClassCounts, path: Path) -> None:
    """Write the counts as parquet: a row for each image, with its key and the list of its pixels by train id."""
    pixels = pa.FixedSizeListArray.from_arrays(pa.array(counts.pixels.ravel()), max(counts.pixels.shape[1], 1))
    pq.write_table(pa.table({"key": pa.array(counts.keys, pa.string()), "pixels": pixels}), path)


def read_counts(path: Path) -> ClassCounts:
    """The counts that `write_counts` wrote."""
    table = pq.read_table(path)
    pixels = table["pixels"].combine_chunks()
    values = pixels.flatten().to_numpy(zero_copy_only=False).reshape(-1, pixels.type.list_size)
    return ClassCounts(tuple(table["key"].to_pylist()), values)
