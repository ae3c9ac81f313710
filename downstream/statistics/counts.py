"""What an evaluation counted in each image, so that images can be resampled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from augment.files import written_whole

COUNTS = "images.npz"
_AREAS = ("intersection", "label", "prediction")


@dataclass(frozen=True)
class ImageCounts:
    """Pixels of each image by class; ignored pixels count in none.

    Attributes:
        keys: of the N images, in the order of the validation.
        classes: names of the C classes.
        intersection: predicted right, ``int64 [N, C]``.
        label: of the class in the label, ``int64 [N, C]``.
        prediction: of the class in the prediction, ``int64 [N, C]``.
    """

    keys: tuple[str, ...]
    classes: tuple[str, ...]
    intersection: NDArray[np.int64]
    label: NDArray[np.int64]
    prediction: NDArray[np.int64]

    @property
    def union(self) -> NDArray[np.int64]:
        """In label or prediction, ``int64 [N, C]``."""
        return self.label + self.prediction - self.intersection

    def save(self, folder: Path) -> None:
        """Write `COUNTS` into a folder."""
        areas = {name: getattr(self, name) for name in _AREAS}
        with written_whole(folder / COUNTS) as scratch, scratch.open("wb") as file:
            np.savez_compressed(file, keys=np.array(self.keys), classes=np.array(self.classes), **areas)


def read_counts(folder: Path) -> ImageCounts | None:
    """The counts of a finished run; None if a version before they were kept has made it."""
    path = folder / COUNTS
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        keys, classes = (tuple(stored[name].tolist()) for name in ("keys", "classes"))
        return ImageCounts(keys, classes, **{name: stored[name] for name in _AREAS})
