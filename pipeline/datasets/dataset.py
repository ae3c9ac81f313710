"""What every dataset reader offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.files.images import read_frame
from pipeline.datasets.files.tree import Tree
from pipeline.datasets.record import Frame, Label, Record, RecordError, Size
from pipeline.taxonomies import Taxonomy


@dataclass(frozen=True, eq=False)
class Annotations:
    """The annotations of an image, pixel by pixel: ``label`` and ``instances`` as a `Frame` has them."""

    label: Label | None = None
    instances: NDArray[np.uint16] | None = None


class Dataset(ABC):
    """Labelled or unlabelled images as their owner distributes them. Picklable, holds no open file."""

    tree: Tree

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the dataset in the stores that are made of it."""

    @property
    @abstractmethod
    def taxonomy(self) -> Taxonomy | None:
        """The classes of the train ids; None where no image has a label."""

    @abstractmethod
    def splits(self) -> list[str]:
        """Names of the splits that are on disk, sorted."""

    @abstractmethod
    def records(self, split: str) -> list[Record]:
        """Every image of a split, sorted by key, never empty.

        Raises UserError for a split that is absent, empty, or labelled only in part.
        """

    @abstractmethod
    def annotations(self, record: Record) -> Annotations:
        """Read label and instances of an image, as far as the record has them, and not the image.

        Raises RecordError naming the file that cannot be read or has unknown ids.
        """

    def tables(self) -> Collection[str]:
        """Paths of the tables that are read beside images and labels."""
        return ()

    def load(self, record: Record, at_least: Size | None = None) -> Frame:
        """Read an image with its annotations and boxes, as far as the record has them.

        A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size if that is no smaller than ``at_least`` (height, width);
        annotations never are. Raises RecordError naming the file that cannot be read, has unknown ids, or has another
        size.
        """
        frame = read_frame(self.tree, record.image, at_least)
        found = self.annotations(record)
        for path, annotation in ((record.label, found.label), (record.instances, found.instances)):
            if path is not None and annotation is not None:
                _check_same_size(frame, annotation, record, path)
        return replace(frame, label=found.label, instances=found.instances, boxes=record.boxes)


def _check_same_size(frame: Frame, annotation: Label, record: Record, path: str) -> None:
    """Raise RecordError where an annotation, read from ``path``, has another size than its image."""
    height, width = frame.full_size
    if (height, width) != annotation.shape:
        turned = ": EXIF orientation may be why; labels must fit the image upright, as viewers show it"
        raise RecordError(
            f"size mismatch: {record.image} is {height}x{width} pixels (height x width) but "
            f"{PurePath(path).name} is {annotation.shape[0]}x{annotation.shape[1]}"
            + (turned if annotation.shape == (width, height) else "")
        )
