"""Whether a judge has learned enough for its word to count."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from downstream.results import RunResult

# A class with a lower IoU is as good as never found: chance alone reaches that for a class of a few per cent of pixels.
LEARNED_IOU = 0.05
# Below, alignment is that of a few classes, and curation has no say in most of them; docs/method.md has the judges that
# it was chosen by. A higher share would leave out good judges of sets with many rare classes.
MIN_SHARE = Fraction(3, 10)
# Of the way from always answering the commonest class (0) to no mistake (1).
MIN_GAIN = 0.05


@dataclass(frozen=True)
class Fitness:
    """What a judge knows, by its result on held-out real images.

    Attributes:
        classes: classes that the labels of those images show.
        learned: those of them with an IoU above `LEARNED_IOU`.
        miou: mean IoU over them, 0..1.
        majority: that of always answering the commonest class; None where its pixels were not counted.
    """

    classes: int
    learned: int
    miou: float
    majority: float | None

    @classmethod
    def of(cls, result: RunResult) -> Fitness:
        """The fitness of the segmenter with this result."""
        shown = [
            name for name, iou in result.iou.items() if (result.pixels[name] if result.pixels else iou is not None)
        ]
        ious = [result.iou[name] or 0.0 for name in shown]
        count, pixels = len(shown), sum(result.pixels.values())
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
        """What is missing for the judge to be believed, in words; None where nothing is."""
        if self.learned < self.needed:
            return f"{self.known}, at least {self.needed} are needed"
        if self.majority is None or self.miou >= (least := self.majority + MIN_GAIN * (1 - self.majority)):
            return None
        return (
            f"mIoU is {self.miou:.3f}, at least {least:.3f} is needed, because always answering the commonest class "
            f"has {self.majority:.3f}"
        )
