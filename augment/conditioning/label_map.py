"""Label maps: the share of each class in each cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from augment.conditioning.cells import grid_of
from augment.errors import UserError
from augment.stride import STRIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

# More would take tens of megabytes an image.
MOST_CLASSES = 256


@dataclass(frozen=True)
class LabelMap:
    """One-hot labels, averaged over the 64 pixels of a cell: a channel for each class, its share of the cell.

    Ignored pixels are of no class, so that the channels of a cell add up to its share of labelled pixels.

    Attributes:
        classes: names of the train ids 0, 1, ...; at most 256.
        ignore_index: id of pixels without a class.
    """

    classes: tuple[str, ...]
    ignore_index: int = 255
    kind: ClassVar[str] = "label"
    needs_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < len(self.classes) <= MOST_CLASSES:
            raise UserError(
                f"conditioning=label takes labels of 1 to {MOST_CLASSES} classes, and these have {len(self.classes)}: "
                "translate them with dataset.taxonomy, or choose another conditioning"
            )

    @property
    def channels(self) -> int:
        """As many as classes."""
        return len(self.classes)

    def maps(
        self,
        images: NDArray[np.uint8],  # noqa: ARG002 - see `Conditioning`
        labels: NDArray[np.unsignedinteger] | None = None,
    ) -> NDArray[np.float16]:
        """See `Conditioning.maps`; values are multiples of 1/64 in 0..1, which float16 holds exactly."""
        if labels is None:
            raise UserError("conditioning=label reads labels, and there are none: give them, or take another kind")
        count, (height, width) = len(self.classes), grid_of(*labels.shape[1:])
        ids = labels.astype(np.int64)
        ignored = ids == self.ignore_index
        if unknown := np.unique(ids[~ignored & (ids >= count)]).tolist():
            raise UserError(f"a label has the id {unknown[0]}, and the classes are 0..{count - 1}")
        # Ignored pixels are counted as one more class, which is left out.
        ids[ignored] = count
        cells = ids.reshape(len(ids), height, STRIDE, width, STRIDE).transpose(0, 1, 3, 2, 4).reshape(-1, STRIDE**2)
        places = np.arange(len(cells))[:, None] * (count + 1) + cells
        counts = np.bincount(places.ravel(), minlength=len(cells) * (count + 1))
        shares = counts.reshape(len(ids), height, width, count + 1)[..., :count] / STRIDE**2
        return np.ascontiguousarray(shares.transpose(0, 3, 1, 2), dtype=np.float16)

    def facts(self) -> Mapping[str, Any]:
        """Kind, channels, classes and the id of ignored pixels."""
        return {
            "kind": self.kind,
            "channels": self.channels,
            "classes": list(self.classes),
            "ignore_index": self.ignore_index,
        }
