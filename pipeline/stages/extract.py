"""extract: the neural layout of every real image, stored once at k_max."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.engine.plan import Plan
from pipeline.engine.stage import Failed, Ok, Outcome, Resources, WorkUnit
from pipeline.stages.fit import STRIDE
from pipeline.store.sample import Sample

if TYPE_CHECKING:
    from augment.backbones import Backbone
    from augment.layout_basis import LayoutBasis


def plan(shards: Mapping[str, tuple[str, ...]]) -> Plan:
    """One unit for each shard of the real store."""
    return Plan.of(WorkUnit(name, keys) for name, keys in shards.items())


@dataclass
class Extract:
    """Encodes images with the backbone and projects the features on the basis."""

    backbone: str
    basis: str
    k_max: int
    device: str
    resources: Resources
    batch_size: int
    name: str = "extract"
    _model: Backbone | None = field(default=None, repr=False)
    _basis: LayoutBasis | None = field(default=None, repr=False)

    def setup(self) -> None:
        """Load backbone and basis."""
        from augment.backbones import load_backbone
        from augment.layout_basis import LayoutBasis

        self._model = load_backbone(self.backbone, self.device)
        self._basis = LayoutBasis.load(Path(self.basis))

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:  # noqa: ARG002
        """Layouts `float16 [k_max, H / 8, W / 8]` of a batch of images of one size."""
        assert self._model is not None and self._basis is not None
        images = np.stack([sample.image for sample in batch if sample.image is not None])
        layouts = self._basis.project(self._model.features(images, STRIDE))[:, : self.k_max]
        arrays = layouts.cpu().numpy().astype(np.float16)
        return [
            Ok(Sample(sample.key, layout=layout, metadata=sample.metadata))
            if np.isfinite(layout).all()
            else Failed(sample.key, "not finite: its layout holds NaN or exceeds float16")
            for sample, layout in zip(batch, arrays, strict=True)
        ]
