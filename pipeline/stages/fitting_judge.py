"""A judge that predicts in smaller batches if memory runs out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from downstream.judge import Judge
from pipeline.engine import FittingBatches


class FittingJudge(Judge):
    """A judge that predicts in batches which fit into memory."""

    def __init__(self, judge: Judge, batches: FittingBatches) -> None:
        super().__init__(judge.model, judge.classes, judge.device, judge.ignore_index)
        self._judge, self._batches = judge, batches

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.unsignedinteger]:
        """See `Judge.predict`."""
        return np.stack(self._batches.run(list(images), lambda part: list(self._judge.predict(np.stack(part)))))
