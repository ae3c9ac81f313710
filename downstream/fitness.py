"""Whether a judge has learned enough to be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from downstream.results import RunResult

# A class with a lower IoU counts as not learned: chance reaches that for a class with a few percent of the pixels.
LEARNED_IOU = 0.05
# Below, alignment covers few classes, and curation is blind to most; docs/method.md has the judges behind this number.
# A higher share would reject good judges of datasets with many rare classes.
MIN_SHARE = Fraction(3, 10)
# Share of the way from always predicting the most frequent class (0) to no mistake (1).
MIN_GAIN = 0.05


@dataclass(frozen=True)
class Fitness:
    """How much a judge has learned, by its result on held-out real images.

    Attributes:
        classes: number of classes in the labels of these images.
        learned: number of these with an IoU above `LEARNED_IOU`.
        miou: mean IoU over them, 0..1.
        majority: mean IoU of always predicting the most frequent class; None if pixels were not counted.
    """

    classes: int
    learned: int
    miou: float
    majority: float | None

    @classmethod
    def of(cls, result: RunResult) -> Fitness:
        """The fitness of the segmenter with this result."""
        ious = list(ious_of_occurring(result).values())
        count, pixels = len(ious), sum(result.pixels.values())
        return cls(
            count,
            sum(iou > LEARNED_IOU for iou in ious),
            sum(ious) / count if count else 0.0,
            max(result.pixels.values()) / pixels / count if pixels else None,
        )

    @property
    def needed(self) -> int:
        """Classes that must be learned."""
        return max(1, ceil(MIN_SHARE * self.classes))

    @property
    def known(self) -> str:
        """How many classes are learned, in words."""
        return f"{self.learned} of {self.classes} classes have an IoU above {LEARNED_IOU:g}"

    @property
    def shortfall(self) -> str | None:
        """What the judge lacks, in words; None if it is fit."""
        if self.learned < self.needed:
            return f"{self.known}, at least {self.needed} are needed"
        if self.majority is None or self.miou >= (least := self.majority + MIN_GAIN * (1 - self.majority)):
            return None
        return (
            f"mIoU is {self.miou:.3f}, at least {least:.3f} is needed, because always predicting the most frequent "
            f"class gives {self.majority:.3f}"
        )


def ious_of_occurring(result: RunResult) -> dict[str, float]:
    """The IoU, 0..1, of each class that occurs in the labels which a result was measured on."""
    occurs = result.pixels or {name: iou is not None for name, iou in result.iou.items()}
    return {name: iou or 0.0 for name, iou in result.iou.items() if occurs[name]}
