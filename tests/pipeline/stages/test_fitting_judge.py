"""A judge predicts the same where memory holds fewer images at once."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from downstream.judge import Judge
from pipeline.engine import FittingBatches
from pipeline.stages.fitting_judge import FittingJudge


class Colours(nn.Module):
    """The class of a pixel is its strongest channel; more than two images do not fit."""

    def inference(self, pixels: torch.Tensor, _metas: object) -> torch.Tensor:
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return pixels


def test_predictions_do_not_depend_on_how_many_images_fit() -> None:
    judge = Judge(Colours(), ("red", "green", "blue"))
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 6, 3), np.uint8)
    batches = FittingBatches("evaluate", 8)
    found = FittingJudge(judge, batches).predict(images)
    np.testing.assert_array_equal(found, np.concatenate([judge.predict(image[None]) for image in images]))
    assert batches.size in (1, 2)
    assert found.dtype == np.uint8
