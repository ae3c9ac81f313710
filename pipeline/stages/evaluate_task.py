"""The task of evaluate: it measures the synthetic images of a held-out split in one worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from downstream.options import EvaluateOptions
from pipeline.datasets import TRAIN_SPLIT
from pipeline.engine import FittingBatches, Resources, WorkUnit
from pipeline.stages.judge import load_judge

if TYPE_CHECKING:
    import pyarrow as pa

    from downstream.evaluation import Measuring
    from downstream.judge import Judge

R = TypeVar("R")


@dataclass
class Evaluate:
    """Measures the synthetic images of a held-out split.

    Attributes:
        judge, second: folders of the judges; None if there is none, or it is unfit.
        real, synthetic: URLs of the stores.
        split: to measure.
        backbone: of the features.
        options: what else is measured.
        revisions: of the models that `options` names by hub ids, by the names of the options; None takes the newest.
    """

    judge: str | None
    second: str | None
    real: str
    synthetic: str
    split: str
    backbone: str
    options: EvaluateOptions
    revisions: Mapping[str, str | None]
    resources: Resources
    device: str
    batch_size: int
    name: str = "evaluate"

    def setup(self) -> None:
        """Nothing that outlives the one unit."""

    def run(self, _unit: WorkUnit) -> tuple[pa.Table, list[dict[str, Any]]]:
        """The table by k, and the closest pairs; see `downstream.evaluation.evaluate` and `closest_pairs`."""
        from downstream.evaluation import evaluate

        measuring = self._measuring() if self.options.images else None
        table = evaluate(
            self._judge(self.judge),
            self.real,
            self.synthetic,
            self.split,
            self.batch_size,
            second=self._judge(self.second),
            measuring=measuring,
        )
        return table, measuring.closest if measuring is not None else []

    def _judge(self, folder: str | None) -> Judge | None:
        from pipeline.stages.fitting_judge import FittingJudge

        if folder is None:
            return None
        return FittingJudge(load_judge(folder, self.device), FittingBatches(self.name, self.batch_size))

    def _measuring(self) -> Measuring:
        """Load the models, and let each take batches that fit into memory."""
        from augment.backbones import load_backbone
        from augment.stride import STRIDE
        from downstream.evaluation import Measuring
        from downstream.measured_images import Encoders

        options, backbone = self.options, load_backbone(self.backbone, self.device)

        def fitting(encode: Callable[[Sequence[Any]], Sequence[R]]) -> Callable[[Sequence[Any]], list[R]]:
            batches = FittingBatches(self.name, self.batch_size)
            return lambda images: batches.run(list(images), encode)

        depth = clip = None
        if options.depth_model is not None:
            from augment.conditioning.depth import Depth

            estimator = Depth(options.depth_model, self.device, self.revisions["depth_model"], "evaluate.depth_model")
            depth = fitting(lambda images: list(estimator.estimates(np.stack(images))))
        if options.clip_model is not None:
            from augment.clip import ClipEmbedder

            embedder = ClipEmbedder(options.clip_model, self.device, self.revisions["clip_model"])
            clip = fitting(embedder.embed)
        features = fitting(lambda images: list(backbone.features(np.stack(images), STRIDE).cpu()))
        return Measuring(Encoders(features, depth, clip), options.images, TRAIN_SPLIT, options.train_images)
