"""Label consistency: which pixels of a synthetic image show what its label says.

A segmenter trained on real images gives each pixel a cross-entropy against the label. Real images that it did not learn
from show which loss is usual for each class; a pixel above it is not believed. The idea of class-wise loss scales is
from Yang et al., *FreeMask: Synthetic Images with Dense Annotations Make Stronger Segmentation Models*,
NeurIPS 2023. Scales here are quantiles instead of means, so that the share of right pixels that is lost is bounded,
as in split conformal prediction (Vovk et al., *Algorithmic Learning in a Random World*, 2005).

An image as a whole is believed if its own label fits it better than most labels of other images do. Both are measured
on the same image, so an image that is hard for the segmenter in every respect, such as one by night, is not dropped
for that.
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
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

# Below 1e-4 nats a prediction is practically certain; above 20 (a probability of 2e-9) practically impossible.
_EDGES = np.concatenate([[0.0], np.geomspace(1e-4, 20.0, 400), [np.inf]])
_BINS = len(_EDGES) - 1
# A class is called blind below: the rule finds fewer than one in four of its wrong pixels.
BLIND = 0.25
# Losses in nats are cut here before they are averaged over a label, so that a few pixels do not decide.
LOSS_CAP = 5.0


class CurateOptions(Options):
    """How curation treats labels that the judge does not believe."""

    quantile: float = Field(
        default=0.9,
        gt=0,
        lt=1,
        description="quantile of a class's pixel losses on real data that is its scale; the rest is the share of "
        "right pixels that is ignored too",
    )
    tolerance: float = Field(
        default=1.0, ge=1, le=100, description="a pixel with a loss over tolerance x scale is ignored"
    )
    min_reliable: float = Field(
        default=0.5, ge=0, le=1, description="images with a lower share of believed pixels are dropped"
    )
    better_than: float = Field(
        default=0.75,
        ge=0,
        le=1,
        description="an image is dropped if its label does not fit it better than this share of labels of other "
        "images; 0 compares with none",
    )

    @property
    def semantic(self) -> dict[str, float]:
        """The options that change the result; those that are off are left out, as before they existed."""
        return self.model_dump(exclude=set() if self.better_than else {"better_than"})


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
    def empty(cls, num_classes: int) -> LossHistogram:
        """The histogram of no losses."""
        return cls(np.zeros((num_classes, _BINS), np.int64))

    @classmethod
    def merged(cls, parts: Iterable[LossHistogram]) -> LossHistogram:
        """The histogram of all parts together."""
        return reduce(lambda a, b: cls(a.counts + b.counts), parts)

    def above(self, thresholds: Sequence[float]) -> NDArray[np.float64]:
        """Share of the losses of each class above its threshold: `float64 [C]`, NaN for a class without pixels.

        A bin counts as above if its lower edge is.
        """
        total = self.counts.sum(axis=1)
        over = (self.counts * (_EDGES[:-1] >= np.asarray(thresholds)[:, None])).sum(axis=1)
        return np.where(total > 0, over / np.maximum(total, 1), np.nan)

    def means(self, cap: float) -> NDArray[np.float64]:
        """Mean loss of each class in nats, each loss cut at `cap`: `float64 [C]`, NaN for a class without pixels.

        A loss counts as the middle of its bin, which is within 2 % of it above 1e-4 nats.
        """
        middles = np.minimum((_EDGES[:-1] + np.minimum(_EDGES[1:], 2 * _EDGES[-2])) / 2, cap)
        total = self.counts.sum(axis=1)
        return np.where(total > 0, self.counts @ middles / np.maximum(total, 1), np.nan)

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
        finds: share of wrong pixels of each class that is above its threshold, 0..1, measured on real images with
            labels of other images; None where none was wrong. Empty for a scale of an earlier version.
    """

    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    quantile: float
    tolerance: float
    pixels: tuple[int, ...]
    finds: tuple[float | None, ...] = ()

    @property
    def blind(self) -> tuple[str, ...]:
        """The classes whose wrong pixels are hardly found."""
        pairs = zip(self.classes, self.finds, strict=True) if self.finds else ()
        return tuple(name for name, share in pairs if share is not None and share < BLIND)

    @classmethod
    def fit(
        cls,
        histogram: LossHistogram,
        classes: tuple[str, ...],
        options: CurateOptions,
        wrong: LossHistogram | None = None,
    ) -> LossScale:
        """Thresholds at `tolerance` times the `quantile` of each class's losses on real data.

        `wrong` are losses of pixels with wrong labels, from which `finds` is measured.

        No threshold is below log 2: where the segmenter gives the label a probability of one half or more, it
        agrees with the label, however sure it is of that class elsewhere.
        """
        scale = options.tolerance * histogram.quantile(options.quantile)
        thresholds = np.where(np.isnan(scale), np.inf, np.maximum(scale, math.log(2)))
        pixels = histogram.counts.sum(axis=1)
        found = () if wrong is None else tuple(wrong.above(thresholds.tolist()).tolist())
        return cls(
            tuple(classes),
            tuple(map(float, thresholds)),
            options.quantile,
            options.tolerance,
            tuple(map(int, pixels)),
            tuple(None if math.isnan(share) else round(share, 4) for share in found),
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
            **({"finds": dict(zip(self.classes, self.finds, strict=True))} if self.finds else {}),
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
            tuple(content.get("finds", {}).values()),
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


def mean_loss(loss: NDArray[np.floating], label: NDArray[np.integer], ignore_index: int = 255) -> NDArray[np.float64]:
    """Mean loss of each image over its labelled pixels, cut at `LOSS_CAP`: `[B]` of losses `[B, H, W]`; NaN without."""
    labelled = label != ignore_index
    total = np.where(labelled, np.minimum(loss, LOSS_CAP), 0).sum(axis=(1, 2), dtype=np.float64)
    count = labelled.sum(axis=(1, 2))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def share_beaten(own: float, others: NDArray[np.floating]) -> float:
    """Share of the labels of other images, with mean losses `others [N]`, that fit worse than the own; 1 if N = 0."""
    return float((own < others).mean()) if len(others) else 1.0
