"""curate: what the judge does not believe of a synthetic label is ignored, or the image is dropped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pipeline.config import TRAIN_SPLIT
from pipeline.engine import Dropped, Failed, Ok, Outcome, Plan, Resources, WorkUnit
from pipeline.engine.memory import FittingBatches
from pipeline.stages.reading import StoreSource
from pipeline.store import Sample, stack_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from augment.filtering import LossHistogram, LossScale

SCALE = "scale.json"
# What the metadata of a pair say where no judge was fit to look at it.
NOT_JUDGED = {"verdict": "not judged"}


class PixelJudge(Protocol):
    """A segmenter that says how surprising each pixel's label is."""

    def loss(self, images: NDArray[np.uint8], labels: NDArray[np.unsignedinteger]) -> NDArray[np.float32]:
        """Cross-entropy in nats `float32 [B, H, W]` of images `uint8 [B, H, W, 3]` against their labels."""
        ...


def is_training_shard(shard: str) -> bool:
    """Whether a shard of the synthetic store is made from training images."""
    return shard.startswith(f"{TRAIN_SPLIT}-k")


def plan(shards: Mapping[str, tuple[str, ...]]) -> Plan:
    """One unit for each synthetic shard of the training split: held-out data is for evaluation, as it is."""
    return Plan.of(WorkUnit(name, keys) for name, keys in shards.items() if is_training_shard(name))


@dataclass
class CountLosses:
    """Counts the judge's losses on one shard of real images, by class and size."""

    source: StoreSource
    load_judge: Callable[[], PixelJudge]
    num_classes: int
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

    def run(self, unit: WorkUnit) -> LossHistogram:
        """The histogram of the unit's images; those that do not read are left out."""
        from augment.filtering import LossHistogram

        assert self._judge is not None and self._batches is not None
        judge = self._judge

        def count(batch: Sequence[Sample]) -> list[LossHistogram]:
            images, labels = stack_pairs(batch)
            return [LossHistogram.of(judge.loss(images, labels), labels, self.num_classes, self.ignore_index)]

        samples = [sample for sample in self.source.read(unit) if not isinstance(sample, Failed)]
        return LossHistogram.merged(self._batches.run(samples, count))


@dataclass
class Curate:
    """Ignores the pixels whose label the judge does not believe, and drops images with too many of them.

    Attributes:
        load_judge: gives the judge, in the worker.
        scale: folder of the loss scale.
        min_reliable: least share of an image's labelled pixels to believe, 0..1.
        ignore_index: id of pixels without a class, and of those that are not believed.
    """

    load_judge: Callable[[], PixelJudge]
    scale: str
    min_reliable: float
    resources: Resources
    batch_size: int
    ignore_index: int = 255
    name: str = "curate"
    _judge: PixelJudge | None = field(default=None, repr=False)
    _scale: LossScale | None = field(default=None, repr=False)

    def setup(self) -> None:
        """Load judge and scale."""
        from augment.filtering import LossScale

        self._judge = self.load_judge()
        self._scale = LossScale.load(Path(self.scale) / SCALE)

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:  # noqa: ARG002
        """Judge a batch of pairs."""
        from augment.filtering import holds_nan, mask_unreliable, reliable_share

        assert self._judge is not None and self._scale is not None
        images, labels = stack_pairs(batch)
        losses = self._judge.loss(images, labels)
        outcomes: list[Outcome] = []
        for sample, label, loss in zip(batch, labels, losses, strict=True):
            if holds_nan(loss, label, self.ignore_index):
                outcomes.append(Failed(sample.key, "not finite: the judge's loss of its pixels holds NaN"))
                continue
            reliable = self._scale.reliable(loss, label, self.ignore_index)
            share = round(reliable_share(label, reliable, self.ignore_index), 6)
            if share < self.min_reliable:
                labelled = bool((label != self.ignore_index).any())
                reason = (
                    f"unreliable: {share:.2f} of its pixels are believed"
                    if labelled
                    else "unlabelled: no pixel has a class"
                )
                outcomes.append(Dropped(sample.key, reason))
                continue
            verdict = {**sample.metadata, "reliable": share}
            believed = mask_unreliable(label, reliable, self.ignore_index)
            outcomes.append(Ok(replace(sample, label=believed, metadata=verdict)))
        return outcomes


@dataclass
class KeepAll:
    """Keeps every pair as it is, and says so in its metadata: what stands for curation where the judge is unfit."""

    resources: Resources
    batch_size: int
    name: str = "curate"

    def setup(self) -> None:
        """Nothing to load."""

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:  # noqa: ARG002
        """Keep a batch of pairs."""
        return [Ok(replace(sample, metadata={**sample.metadata, **NOT_JUDGED})) for sample in batch]
