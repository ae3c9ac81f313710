"""What the stage curate does with a batch of synthetic pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.engine import Dropped, Failed, Ok, Outcome, Resources, WorkUnit
from pipeline.stages.loss_counts import OtherLabels, PixelJudge
from pipeline.store import Sample, stack_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from augment.filtering import LossScale

SCALE = "scale.json"
# Metadata of a pair that no fit judge has scored.
NOT_JUDGED = {"verdict": "not judged"}


@dataclass(frozen=True)
class Verdict:
    """What curation finds in a pair.

    Attributes:
        reliable: pixels to believe, bool [H, W].
        share: their share of the labelled pixels, 0..1; 0 where nothing is labelled.
        labelled: number of labelled pixels.
        better_than: share of the labels of other images that fit the image worse than its own; None if there is nothing
            to compare with.
        reason: why the pair is dropped; None if it is kept.
    """

    reliable: NDArray[np.bool_]
    share: float
    labelled: int
    better_than: float | None
    reason: str | None


@dataclass
class Curate:
    """Ignores the pixels whose label the judge does not believe, and drops images with too many of them.

    Attributes:
        load_judge: gives the judge, in the worker.
        scale: folder of the loss scale.
        min_reliable: least share of an image's labelled pixels to believe, 0..1.
        others: labels of other images to compare the label of an image with; None compares with none.
        better_than: least share of them that must fit the image worse, 0..1.
        ignore_index: id of pixels without a class, and of those that are not believed.
    """

    load_judge: Callable[[], PixelJudge]
    scale: str
    min_reliable: float
    others: OtherLabels | None
    better_than: float
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
        outcomes: list[Outcome] = []
        for sample, verdict in zip(batch, self.verdicts(batch), strict=True):
            if verdict is None:
                outcomes.append(Failed(sample.key, "not finite: the judge's loss of its pixels holds NaN"))
            elif verdict.reason is not None:
                outcomes.append(Dropped(sample.key, verdict.reason))
            else:
                outcomes.append(Ok(self._curated(sample, verdict)))
        return outcomes

    def _curated(self, sample: Sample, verdict: Verdict) -> Sample:
        from augment.filtering import mask_unreliable

        assert sample.label is not None
        found = {"reliable": verdict.share}
        if verdict.better_than is not None:
            found["better_than"] = verdict.better_than
        label = mask_unreliable(sample.label, verdict.reliable, self.ignore_index)
        return replace(sample, label=label, metadata={**sample.metadata, **found})

    def verdicts(self, batch: Sequence[Sample]) -> list[Verdict | None]:
        """What is found in each pair; None where the judge's loss is NaN."""
        from augment.filtering import LOSS_CAP, holds_nan, mean_loss

        assert self._judge is not None
        images, labels = stack_pairs(batch)
        others = self.others.fitting(labels.shape[1:]) if self.others is not None else {}
        if others:
            losses, means = self._judge.compare(images, labels, np.stack(list(others.values())), LOSS_CAP)
        else:
            [losses] = self._judge.losses(images, labels)
            means = np.empty((len(images), 0), np.float32)
        own = mean_loss(losses, labels, self.ignore_index)
        verdicts: list[Verdict | None] = []
        for number, sample in enumerate(batch):
            if holds_nan(losses[number], labels[number], self.ignore_index):
                verdicts.append(None)
                continue
            # The label of its own source would be as good as its own.
            counted = [name != sample.metadata.get("source_key") for name in others]
            verdicts.append(self._verdict(losses[number], labels[number], float(own[number]), means[number][counted]))
        return verdicts

    def _verdict(
        self,
        loss: NDArray[np.float32],
        label: NDArray[np.unsignedinteger],
        own: float,
        others: NDArray[np.float32],
    ) -> Verdict:
        from augment.filtering import reliable_share, share_beaten

        assert self._scale is not None
        reliable = self._scale.reliable(loss, label, self.ignore_index)
        share = round(reliable_share(label, reliable, self.ignore_index), 6)
        labelled = int((label != self.ignore_index).sum())
        beaten = round(share_beaten(own, others), 4) if len(others) and labelled else None
        reason = None
        if not labelled and self.min_reliable:
            reason = "unlabelled: no pixel has a class"
        elif beaten is not None and beaten < self.better_than:
            reason = f"misfit: its label fits it better than {beaten:.2f} of the labels of other images"
        elif share < self.min_reliable:
            reason = f"unreliable: {share:.2f} of its pixels are believed"
        return Verdict(reliable, share, labelled, beaten, reason)


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
