"""fit: the principal components of the backbone's features over the training split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from augment.errors import NotFinite, UserError
from pipeline.config import TRAIN_SPLIT
from pipeline.engine.memory import FittingBatches
from pipeline.engine.stage import Failed, Resources, WorkUnit
from pipeline.stages.reading import StoreSource, split_of

if TYPE_CHECKING:
    import torch

    from augment.backbones import Backbone
    from augment.layout_basis import FeatureMoments

STRIDE = 8


@dataclass(frozen=True)
class UnitMoments:
    """Moments of the features of one shard, and the revision of the backbone they are of."""

    moments: FeatureMoments
    revision: str


def plan(shards: Mapping[str, tuple[str, ...]]) -> list[WorkUnit]:
    """One unit for each non-empty shard of the training split."""
    return [WorkUnit(name, keys) for name, keys in shards.items() if split_of(name) == TRAIN_SPLIT and keys]


@dataclass
class FitMoments:
    """Accumulates the moments of one shard's features."""

    source: StoreSource
    backbone: str
    device: str
    resources: Resources
    batch_size: int
    name: str = "fit"
    _model: Backbone | None = field(default=None, repr=False)
    _batches: FittingBatches | None = field(default=None, repr=False)

    def setup(self) -> None:
        """Load the backbone."""
        from augment.backbones import load_backbone

        self._model = load_backbone(self.backbone, self.device)
        self._batches = FittingBatches(self.name, self.batch_size)

    def run(self, unit: WorkUnit) -> UnitMoments:
        """Moments of the unit's images; one batch after the other, in their order.

        Raises:
            UserError: an image of the store does not read, or its features are not finite.
        """
        from augment.layout_basis import FeatureMoments

        assert self._model is not None
        parts = []
        for images in self.batches(unit):
            features = self.features(images)
            rows = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
            try:
                parts.append(FeatureMoments.of(rows.cpu().numpy()))
            except NotFinite as error:
                raise UserError(f"backbone.name={self.backbone}: of images in {unit.shard}, {error}") from error
        return UnitMoments(FeatureMoments.merged(parts), self._model.revision)

    def features(self, images: np.ndarray) -> torch.Tensor:
        """Features `float32 [B, C, H / 8, W / 8]` of images `uint8 [B, H, W, 3]`, in parts that fit into memory."""
        import torch

        assert self._model is not None and self._batches is not None
        model = self._model
        return torch.stack(self._batches.run(list(images), lambda part: list(model.features(np.stack(part), STRIDE))))

    def batches(self, unit: WorkUnit) -> Iterator[np.ndarray]:
        """The unit's images `uint8 [B, H, W, 3]`.

        Raises:
            UserError: an image of the store does not read.
        """
        samples = iter(self.source.read(unit))
        while batch := list(islice(samples, self.batch_size)):
            images = []
            for sample in batch:
                if isinstance(sample, Failed) or sample.image is None:
                    reason = sample.reason if isinstance(sample, Failed) else "no image"
                    raise UserError(f"{self.source.url}: {sample.key}: {reason}: see lumen verify {self.source.url}")
                images.append(sample.image)
            yield np.stack(images)
