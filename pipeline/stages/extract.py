"""extract: the neural layout of every real image, stored once at k_max."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pipeline.datasets import TRAIN_SPLIT
from pipeline.engine import Failed, Ok, Outcome, Resources, Source, Stage, WorkUnit
from pipeline.stages.fit import FitStep, require_reachable_backbone
from pipeline.stages.reading import StoreSource, split_of
from pipeline.stages.seeds import stable_seed
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Size, contents_of
from pipeline.stages.store_step import StorePlan, StoreStep, plan_like
from pipeline.store import JSON, Manifest, Sample
from pipeline.store.layout_format import LayoutFormat, rounding_error
from pipeline.store.manifest import LAYOUTS
from pipeline.workspace.content import content_digest
from pipeline.workspace.mismatch import content_of
from pipeline.workspace.model_files import backbone_identity, basis_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
        "views": "layout.views",
        "layout_format": "layout.storage",
    }

    def check_models(self) -> None:
        """Check that the backbone exists."""
        require_reachable_backbone(self.config.backbone.name)

    def size(self) -> Size:
        """Those of the real store."""
        return self.job.step(ShardStep).size()

    def plan(self) -> StorePlan:
        """One unit for each shard of the real store."""
        real = self.job.step(ShardStep).store
        inputs: dict[str, JSON] = {
            "real": content_digest(real),
            "backbone": backbone_identity(self.config.backbone.name),
            "basis": basis_digest(self.job.step(FitStep).used),
            "k_max": self.config.layout.k_max,
        }
        if views := self.config.layout.views:
            inputs["views"] = views
        layout_format = self.config.layout.storage
        manifest = Manifest(LAYOUTS, None, self.job.images.working_size, inputs, layout_format=layout_format)
        return plan_like(real, manifest)

    def work(self) -> tuple[Stage, Source]:
        """The stage and its source."""
        used, layout = str(self.job.step(FitStep).used), self.config.layout
        stage = Extract(
            self.config.backbone.name,
            used,
            layout.k_max,
            views=layout.views,
            storage=layout.storage,
            **self.for_model,
        )
        return stage, StoreSource(self.job.step(ShardStep).url, ("image",))


@dataclass
class Extract:
    """Encodes images with the backbone and projects the features on the basis.

    Attributes:
        backbone, basis: name and folder.
        k_max: components to keep.
        views: layouts of photometric copies to add to each sample of the training split.
        storage: format that the store has, whose error is noted.
    """

    backbone: str
    basis: str
    k_max: int
    device: str
    resources: Resources
    batch_size: int
    views: int = 0
    storage: LayoutFormat = "float16"
    name: str = "extract"
    _model: Backbone | None = field(default=None, repr=False)
    _basis: LayoutBasis | None = field(default=None, repr=False)

    def setup(self) -> None:
        """Load backbone and basis."""
        from augment.backbones import load_backbone
        from augment.layouts.basis import LayoutBasis

        self._model = load_backbone(self.backbone, self.device)
        self._basis = LayoutBasis.load(Path(self.basis))

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:
        """Layouts `float16 [k_max, H / 8, W / 8]` of a batch of images of one size, and their views."""
        images = np.stack([sample.image for sample in batch if sample.image is not None])
        made = [
            Sample(sample.key, layout=layout, views=views, metadata=sample.metadata)
            for sample, layout, views in zip(
                batch, self.layouts(images), self.views_of(unit, batch, images), strict=True
            )
        ]
        return [
            Ok(sample, self.notes(sample))
            if sample.has_finite_layout
            else Failed(sample.key, "not finite: its layout holds NaN or exceeds float16")
            for sample in made
        ]

    def notes(self, sample: Sample) -> tuple[str, ...]:
        """The largest error of its layout and views as they are stored, rounded up to hundredths."""
        if self.storage == "float16":
            return ()
        error = max(rounding_error(array) for array in (sample.layout, sample.views) if array is not None)
        return (f"layout rounded by at most {math.ceil(100 * error) / 100:.2f}",)

    def layouts(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Layouts `float16 [B, k_max, H / 8, W / 8]` of images `uint8 [B, H, W, 3]`."""
        from augment.layouts.extraction import extract_layouts

        assert self._model is not None and self._basis is not None
        return extract_layouts(images, self._model, self._basis, self.k_max)

    def views_of(
        self, unit: WorkUnit, batch: Sequence[Sample], images: NDArray[np.uint8]
    ) -> Sequence[NDArray[np.float16] | None]:
        """The views `float16 [V, k_max, H / 8, W / 8]` of each sample; None outside the training split."""
        from augment.layouts.views import view_layouts

        if not self.views or split_of(unit.shard) != TRAIN_SPLIT:
            return [None] * len(batch)
        seeds = [[stable_seed("view", sample.key, view) for view in range(self.views)] for sample in batch]
        return list(view_layouts(images, seeds, self.layouts, max(1, int(self.resources.num_cpus))))
