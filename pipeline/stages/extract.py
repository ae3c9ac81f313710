"""extract: the neural layout of every real image, stored once at k_max."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from augment.errors import UserError
from pipeline.engine import Failed, Ok, Outcome, Resources, Source, Stage, WorkUnit
from pipeline.stages.fit import FitStep, require_reachable_backbone
from pipeline.stages.reading import StoreSource
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Size, contents_of
from pipeline.stages.store_step import StorePlan, StoreStep, plan_like
from pipeline.store import JSON, Manifest, Sample
from pipeline.store.manifest import LAYOUTS
from pipeline.workspace.content import content_digest
from pipeline.workspace.mismatch import content_of
from pipeline.workspace.model_files import backbone_identity, basis_digest

if TYPE_CHECKING:
    from augment.backbones import Backbone
    from augment.layouts.basis import LayoutBasis


class ExtractStep(StoreStep):
    """Writes the store of layouts: the shards of the real store once more."""

    name = "extract"
    output = "layouts"
    title = "the store of layouts"
    lineage = ("layouts",)
    reads = ("shard", "fit")
    input_names: ClassVar[Mapping[str, str]] = {
        **contents_of(ShardStep, FitStep),
        "backbone.digest": content_of("the files of backbone.name"),
        "k_max": "layout.k_max",
    }

    def check_models(self) -> None:
        """Check that the backbone exists."""
        require_reachable_backbone(self.config.backbone.reference)

    def size(self) -> Size:
        """Those of the real store."""
        return self.job.step(ShardStep).size()

    def plan(self) -> StorePlan:
        """One unit for each shard of the real store."""
        real = self.job.step(ShardStep).store
        inputs: dict[str, JSON] = {
            "real": content_digest(real),
            "backbone": backbone_identity(self.config.backbone.reference),
            "basis": basis_digest(self.job.step(FitStep).used),
            "k_max": self.config.layout.k_max,
        }
        manifest = Manifest(LAYOUTS, None, self.job.images.working_size, inputs)
        return plan_like(real, manifest)

    def work(self) -> tuple[Stage, Source]:
        """The stage and its source."""
        used, k_max = str(self.job.step(FitStep).used), self.config.layout.k_max
        stage = Extract(self.config.backbone.reference, used, k_max, **self.for_model)
        return stage, StoreSource(self.job.step(ShardStep).url, ("image",))


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
        from augment.layouts.basis import LayoutBasis

        self._model = load_backbone(self.backbone, self.device)
        self._basis = LayoutBasis.load(Path(self.basis))
        if self._model.revision != self._basis.revision:
            raise UserError(
                f"backbone.name={self.backbone}: this machine has revision {self._model.revision[:8]}, and the basis "
                f"was fitted on {self._basis.revision[:8]}: give every machine the same files, or --redo fit"
            )

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:  # noqa: ARG002
        """Layouts `float16 [k_max, H / 8, W / 8]` of a batch of images of one size."""
        from augment.layouts.extraction import extract_layouts

        assert self._model is not None and self._basis is not None
        images = np.stack([sample.image for sample in batch if sample.image is not None])
        layouts = extract_layouts(images, self._model, self._basis, self.k_max)
        return [
            Ok(Sample(sample.key, layout=layout, metadata=sample.metadata))
            if np.isfinite(layout).all()
            else Failed(sample.key, "not finite: its layout holds NaN or exceeds float16")
            for sample, layout in zip(batch, layouts, strict=True)
        ]
