"""Label consistency: which pixels of a synthetic image show what its label says.

A segmenter trained on real images gives each pixel a cross-entropy against the label. Real images show which loss is
usual for each class; a pixel far above it is not believed. The idea of class-wise loss scales is
from Yang et al., *FreeMask: Synthetic Images with Dense Annotations Make Stronger Segmentation Models*,
NeurIPS 2023; scales here are quantiles instead of means, because a few pixels dominate a mean.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from augment.errors import NotFinite, UserError
from augment.files import write_whole
from augment.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

# Below 1e-4 nats a prediction is practically certain; above 20 (a probability of 2e-9) practically impossible.
_EDGES = np.concatenate([[0.0], np.geomspace(1e-4, 20.0, 400), [np.inf]])
_BINS = len(_EDGES) - 1


class CurateOptions(Options):
    """How curation treats labels that the judge does not believe."""

    quantile: float = Field(
        default=0.95, gt=0, lt=1, description="quantile of a class's pixel losses on real data that is its scale"
    )
    tolerance: float = Field(
        default=1.25, ge=1, le=100, description="a pixel with a loss over tolerance x scale is ignored"
    )
    min_reliable: float = Field(
        default=0.5, ge=0, le=1, description="images with a lower share of believed pixels are dropped"
    )


@dataclass(frozen=True)
class LossHistogram:
    """Per-pixel losses counted by class and size: `counts int64 [C, bins]`, mergeable in any order."""

    counts: NDArray[np.int64]

    @classmethod
    def of(
        cls, loss: NDArray[np.floating], label: NDArray[np.integer], num_classes: int, ignore_index: int = 255
    ) -> LossHistogram:
        """Count the losses `float [...]` in nats, >= 0, of the pixels with a `label [...]` that is not ignored.

        Raises:
            NotFinite: one of these losses is NaN.
        """
        counted = label != ignore_index
        if holds_nan(loss, label, ignore_index):
            raise NotFinite("losses on real images are NaN: the segmenter is damaged; train it again with --redo judge")
        bins = (np.searchsorted(_EDGES, loss[counted], side="right") - 1).clip(max=_BINS - 1)
        cells = np.bincount(label[counted].astype(np.int64) * _BINS + bins, minlength=num_classes * _BINS)
        return cls(cells.reshape(num_classes, _BINS).astype(np.int64))

    @classmethod
    def merged(cls, parts: Iterable[LossHistogram]) -> LossHistogram:
        """The histogram of all parts together."""
        return reduce(lambda a, b: cls(a.counts + b.counts), parts)

    def quantile(self, level: float) -> NDArray[np.float64]:
        """Quantile `level` (0..1) of the losses of each class: `float64 [C]`, NaN for a class without pixels.

        Accurate to the width of a bin, 3 % of the value.
        """
        cumulative = self.counts.cumsum(axis=1)
        total = cumulative[:, -1]
        bins = (cumulative < level * total[:, None]).sum(axis=1)
        return np.where(total > 0, _EDGES[1:-1][np.minimum(bins, _BINS - 2)], np.nan)


@dataclass(frozen=True)
class LossScale:
    """The loss above which a pixel of each class is not believed.

    Attributes:
        classes: class names, C of them.
        thresholds: loss in nats for each class; infinite for a class without real pixels.
        quantile: share of the real pixels of a class with a loss below its scale.
        tolerance: threshold of a class divided by its scale.
        pixels: real pixels that each scale was fitted on.
    """

    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    quantile: float
    tolerance: float
    pixels: tuple[int, ...]

    @classmethod
    def fit(cls, histogram: LossHistogram, classes: tuple[str, ...], options: CurateOptions) -> LossScale:
        """Thresholds at `tolerance` times the `quantile` of each class's losses on real data.

        No threshold is below log 2: where the segmenter gives the label a probability of one half or more, it
        agrees with the label, however sure it is of that class elsewhere.
        """
        scale = options.tolerance * histogram.quantile(options.quantile)
        thresholds = np.where(np.isnan(scale), np.inf, np.maximum(scale, math.log(2)))
        pixels = histogram.counts.sum(axis=1)
        return cls(
            tuple(classes),
            tuple(map(float, thresholds)),
            options.quantile,
            options.tolerance,
            tuple(map(int, pixels)),
        )

    def reliable(
        self, loss: NDArray[np.floating], label: NDArray[np.integer], ignore_index: int = 255
    ) -> NDArray[np.bool_]:
        """Pixels to believe: `bool [...]`, true where `loss [...]` is within the threshold of `label [...]`.

        Ignored pixels are not reliable.
        """
        labelled = label != ignore_index
        thresholds = np.asarray(self.thresholds)[np.where(labelled, label, 0)]
        return labelled & (loss <= thresholds)

    def save(self, path: Path) -> None:
        """Write the scale as JSON; a class without pixels has the threshold null."""
        content = {
            "quantile": self.quantile,
            "tolerance": self.tolerance,
            "classes": {
                name: {"threshold": threshold if math.isfinite(threshold) else None, "pixels": pixels}
                for name, threshold, pixels in zip(self.classes, self.thresholds, self.pixels, strict=True)
            },
        }
        write_whole(path, json.dumps(content, indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> LossScale:
        """Read what `save` wrote; UserError where the file is missing."""
        if not path.is_file():
            raise UserError(f"no loss scale at {path}: fit one on real data first")
        content = json.loads(path.read_text())
        rows = content["classes"].values()
        thresholds = tuple(math.inf if row["threshold"] is None else row["threshold"] for row in rows)
        return cls(
            tuple(content["classes"]),
            thresholds,
            content["quantile"],
            content["tolerance"],
            tuple(row["pixels"] for row in rows),
        )


def holds_nan(loss: NDArray[np.floating], label: NDArray[np.integer], ignore_index: int = 255) -> bool:
    """Whether a loss `[...]` is NaN at a pixel with a `label [...]` that is not ignored."""
    return bool(np.isnan(loss[label != ignore_index]).any())


def mask_unreliable(
    label: NDArray[np.unsignedinteger], reliable: NDArray[np.bool_], ignore_index: int = 255
) -> NDArray[np.unsignedinteger]:
    """Copy of a label `uint8|uint16 [H, W]` in which pixels that are not `reliable [H, W]` are ignored."""
    return np.where(reliable, label, np.asarray(ignore_index, label.dtype))


def reliable_share(label: NDArray[np.integer], reliable: NDArray[np.bool_], ignore_index: int = 255) -> float:
    """Share of an image's labelled pixels that are reliable, 0..1; 0 where nothing is labelled."""
    labelled = int((label != ignore_index).sum())
    return float(reliable.sum() / labelled) if labelled else 0.0
