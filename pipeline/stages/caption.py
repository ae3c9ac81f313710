"""caption: a sentence that a model writes of every real image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pipeline.datasets.table import CAPTIONS
from pipeline.engine.stage import Failed, Ok, Outcome, Resources, WorkUnit
from pipeline.store.sample import Sample

if TYPE_CHECKING:
    from augment.captioning import Captioner


@dataclass
class Caption:
    """Describes images with an image-to-text model; a sample of it is metadata alone.

    Attributes:
        model, max_new_tokens, prompt: see `Captioner`.
    """

    model: str
    max_new_tokens: int
    prompt: str
    device: str
    resources: Resources
    batch_size: int
    name: str = "caption"
    _captioner: Captioner | None = field(default=None, repr=False)

    def setup(self) -> None:
        """Load the model."""
        from augment.captioning import Captioner

        self._captioner = Captioner(self.model, self.device, self.max_new_tokens, self.prompt)

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:  # noqa: ARG002
        """The caption of each image of a batch, all of one size, as the one entry of `captions`."""
        assert self._captioner is not None
        images = np.stack([sample.image for sample in batch if sample.image is not None])
        return [
            Ok(Sample(sample.key, metadata={CAPTIONS: [caption], "split": sample.metadata["split"]}))
            if caption
            else Failed(sample.key, "empty caption: the model says nothing of it")
            for sample, caption in zip(batch, self._captioner.describe(images), strict=True)
        ]
