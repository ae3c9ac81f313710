"""The judge's losses on real images, with their own labels and with labels of other images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from augment.filtering import LossHistogram
from pipeline.engine import Failed, FittingBatches, Resources, WorkUnit
from pipeline.stages.reading import StoreSource
from pipeline.store import Sample, stack_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Labels of other images that the label of an image is compared with.
OTHERS = 16


class PixelJudge(Protocol):
    """A segmenter that says how surprising each pixel's label is; see `downstream.judge.Judge`."""

    def losses(self, images: NDArray[np.uint8], *labellings: NDArray[np.unsignedinteger]) -> list[NDArray[np.float32]]:
        """Cross-entropies in nats `float32 [B, H, W]` of images `uint8 [B, H, W, 3]` against each batch of labels."""
        ...

    def compare(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.unsignedinteger],
        others: NDArray[np.unsignedinteger],
        cap: float,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The loss, and the mean losses `float32 [B, N]` of the images against other labels `[N, H, W]`."""
        ...


@dataclass
class OtherLabels:
    """Labels of real images that each label is compared with.

    Attributes:
        source: the real store.
        keys: of the images.
        ignore_index: id of pixels without a class.
    """

    source: StoreSource
    keys: tuple[str, ...]
    ignore_index: int = 255
    _labels: dict[str, NDArray[np.unsignedinteger]] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str, keys: Sequence[str], ignore_index: int) -> OtherLabels:
        """Labels of `OTHERS` of the images with these keys, at even distances in sorted order."""
        ordered, count = sorted(keys), min(OTHERS, len(keys))
        chosen = tuple(ordered[len(ordered) * number // count] for number in range(count))
        return cls(StoreSource(url, ("label",)), chosen, ignore_index)

    def fitting(self, shape: tuple[int, ...]) -> dict[str, NDArray[np.unsignedinteger]]:
        """key -> label of each of this shape, that has a labelled pixel."""
        if self._labels is None:
            labels = {key: self.source.get(key).label for key in self.keys}
            self._labels = {
                key: label for key, label in labels.items() if label is not None and (label != self.ignore_index).any()
            }
        return {key: label for key, label in self._labels.items() if label.shape == shape}


@dataclass
class CountLosses:
    """Counts the judge's losses on one shard of real images, by class and size: of right labels, and of wrong ones.

    The wrong ones are those of `others` in place of an image's own, where the two differ.
    """

    source: StoreSource
    load_judge: Callable[[], PixelJudge]
    num_classes: int
    others: OtherLabels
    resources: Resources
    batch_size: int
    ignore_index: int = 255
    name: str = "curate"
    _judge: PixelJudge | None = field(default=None, repr=False)
    _batches: FittingBatches | None = field(default=None, repr=False)

    def setup(self) -> None:
        """Load the judge."""
        self._judge = self.load_judge()
        self._batches = FittingBatches(self.name, self.batch_size)

    def run(self, unit: WorkUnit) -> tuple[LossHistogram, LossHistogram]:
        """The histograms of right and wrong labels on the unit's images; those that do not read are left out."""
        assert self._judge is not None and self._batches is not None
        judge = self._judge

        def count(batch: Sequence[Sample]) -> list[tuple[LossHistogram, LossHistogram]]:
            images, labels = stack_pairs(batch)
            exchanged = np.stack(
                [self._exchanged(sample.key, label) for sample, label in zip(batch, labels, strict=True)]
            )
            # Only where the labels differ is the other one known to be wrong.
            either = (labels == exchanged) | (labels == self.ignore_index)
            wrong = np.where(either, np.asarray(self.ignore_index, labels.dtype), exchanged)
            losses = judge.losses(images, labels, wrong)
            right_and_wrong = zip(losses, (labels, wrong), strict=True)
            counted = (
                LossHistogram.of(loss, label, self.num_classes, self.ignore_index) for loss, label in right_and_wrong
            )
            return [(next(counted), next(counted))]

        samples = [sample for sample in self.source.read(unit) if not isinstance(sample, Failed)]
        counts = self._batches.run(samples, count)
        right, wrong = zip(*counts, strict=True) if counts else ((), ())
        nothing = LossHistogram.empty(self.num_classes)
        return LossHistogram.merged([nothing, *right]), LossHistogram.merged([nothing, *wrong])

    def _exchanged(self, key: str, label: NDArray[np.unsignedinteger]) -> NDArray[np.unsignedinteger]:
        """The label of another image: of the next one in the order of keys, half the list away; or the own."""
        found = [other for name, other in sorted(self.others.fitting(label.shape).items()) if name != key]
        before = sum(name < key for name in self.others.fitting(label.shape))
        return found[(before + len(found) // 2) % len(found)] if found else label
