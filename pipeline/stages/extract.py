"""extract: the conditioning maps of every real image, stored once with all channels: its neural layout, for one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from augment.errors import UserError
from pipeline.datasets import TRAIN_SPLIT
from pipeline.engine import Failed, Ok, Outcome, Resources, Source, Stage, WorkUnit
from pipeline.stages.conditioning import (
    CONDITIONING_NAMES,
    LoadConditioning,
    conditioning_inputs,
    is_layout,
    load_other,
    reads_labels,
    require_conditioned,
    require_conditioning,
)
from pipeline.stages.fit import FitStep, require_reachable_backbone, require_revision
from pipeline.stages.job import Job
from pipeline.stages.reading import Part, StoreSource, split_of
from pipeline.stages.seeds import stable_seed
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Size, Step, contents_of
from pipeline.stages.store_step import StorePlan, StoreStep, plan_like
from pipeline.store import JSON, InvalidSample, Manifest, Sample
from pipeline.store.layout_format import LayoutFormat, rounding_error
from pipeline.store.manifest import LAYOUTS
from pipeline.workspace.content import content_digest
from pipeline.workspace.mismatch import content_of
from pipeline.workspace.model_files import backbone_identity, basis_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from augment.conditioning import Conditioning


class ExtractStep(StoreStep):
    """Writes the store of layouts, or of the maps of another conditioning: the shards of the real store once more."""

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
        **CONDITIONING_NAMES,
    }

    def check_models(self) -> None:
        """Check that the backbone exists, or the model of another conditioning."""
        if is_layout(self.config):
            require_reachable_backbone(self.config.backbone.reference)
        require_conditioning(self.job)

    def check(self, left: Sequence[Step]) -> list[str]:  # noqa: ARG002 - see `Step`
        """Check that the images have the labels that the conditioning reads."""
        require_conditioned(self.job)
        return []

    def size(self) -> Size:
        """Those of the real store."""
        return self.job.step(ShardStep).size()

    def plan(self) -> StorePlan:
        """One unit for each shard of the real store."""
        real = self.job.step(ShardStep).store
        inputs: dict[str, JSON] = {"real": content_digest(real), **conditioning_content(self.job)}
        if views := self.config.layout.views:
            inputs["views"] = views
        layout_format = self.config.layout.storage
        manifest = Manifest(LAYOUTS, None, self.job.images.working_size, inputs, layout_format=layout_format)
        return plan_like(real, manifest)

    def work(self) -> tuple[Stage, Source]:
        """The stage and its source."""
        layout = self.config.layout
        stage = Extract(load_conditioning(self.job), views=layout.views, storage=layout.storage, **self.for_model)
        parts: tuple[Part, ...] = ("image", "label") if reads_labels(self.config) else ("image",)
        return stage, StoreSource(self.job.step(ShardStep).url, parts)


def maps_inputs(job: Job) -> Mapping[str, JSON]:
    """What the store of maps was made from; empty if there is none, or if they are neural layouts."""
    return {} if is_layout(job.config) else ExtractStep.inputs_in(job.workspace, ExtractStep.output)


def conditioning_content(job: Job) -> dict[str, JSON]:
    """What the maps of a run depend on beside the images."""
    if not is_layout(job.config):
        return conditioning_inputs(job, maps_inputs(job))
    return {
        "backbone": backbone_identity(job.config.backbone.reference),
        "basis": basis_digest(job.step(FitStep).used),
        "k_max": job.config.layout.k_max,
    }


def load_conditioning(job: Job) -> LoadConditioning:
    """How workers load the conditioning of a run."""
    if not is_layout(job.config):
        return load_other(job, maps_inputs(job))
    return partial(load_layout, job.config.backbone.reference, job.step(FitStep).used, job.config.layout.k_max)


def load_layout(backbone: str, basis: Path, k_max: int, device: str) -> Conditioning:
    """Load the neural layout: a backbone by name, the basis in a folder, and the components to keep.

    Raises:
        UserError: the basis was fitted on another revision of the backbone.
    """
    from augment.conditioning.neural_layout import NeuralLayout

    layout = NeuralLayout.load(backbone, basis, k_max, device)
    require_revision(backbone, layout.backbone.revision, layout.basis.revision)
    return layout


@dataclass
class Extract:
    """Turns images into the maps of a conditioning, such as neural layouts.

    Attributes:
        load: gives the conditioning, in the worker, on a device.
        views: layouts of photometric copies to add to each sample of the training split.
        storage: format that the store has, whose error is noted.
    """

    load: LoadConditioning
    device: str
    resources: Resources
    batch_size: int
    views: int = 0
    storage: LayoutFormat = "float16"
    name: str = "extract"
    _conditioning: Conditioning | None = field(default=None, repr=False)

    def setup(self) -> None:
        """Load the conditioning."""
        self._conditioning = self.load(self.device)

    @property
    def conditioning(self) -> Conditioning:
        """What `setup` has loaded."""
        assert self._conditioning is not None
        return self._conditioning

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:
        """Maps `float16 [K, H / 8, W / 8]` of a batch of images of one size, and their views."""
        complete = [sample for sample in batch if sample.label is not None or not self.conditioning.needs_labels]
        made = {sample.key: sample for sample in self.made(unit, complete)} if complete else {}
        return [self.outcome(sample.key, made.get(sample.key)) for sample in batch]

    def outcome(self, key: str, made: Sample | None) -> Outcome:
        """What becomes of a sample with its maps; None if it lacks what they are made of."""
        if made is None:
            return Failed(key, "unlabelled: the conditioning reads its label, and it has none")
        if made.not_finite:
            return Failed(key, "not finite: its layout holds NaN or exceeds float16")
        return Ok(made, self.notes(made))

    def made(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Sample]:
        """The maps and views of samples that have all that the conditioning reads."""
        images = np.stack([sample.image for sample in batch if sample.image is not None])
        labels = [sample.label for sample in batch if sample.label is not None]
        try:
            layouts = self.layouts(images, np.stack(labels) if self.conditioning.needs_labels else None)
        except UserError as error:
            if not self.conditioning.needs_labels:
                raise
            # The engine tries the samples again one by one, so that only the one at fault is quarantined.
            raise InvalidSample(f"bad label: {error}") from error
        return [
            Sample(sample.key, layout=layout, views=views, metadata=sample.metadata)
            for sample, layout, views in zip(batch, layouts, self.views_of(unit, batch, images), strict=True)
        ]

    def notes(self, sample: Sample) -> tuple[str, ...]:
        """The largest error of its layout and views as they are stored, rounded up to hundredths."""
        if self.storage == "float16":
            return ()
        error = max(rounding_error(array) for array in (sample.layout, sample.views) if array is not None)
        return (f"layout rounded by at most {math.ceil(100 * error) / 100:.2f}",)

    def layouts(
        self, images: NDArray[np.uint8], labels: NDArray[np.unsignedinteger] | None = None
    ) -> NDArray[np.float16]:
        """Maps `float16 [B, K, H / 8, W / 8]` of images `uint8 [B, H, W, 3]`, and of labels if these are read."""
        return self.conditioning.maps(images, labels)

    def views_of(
        self, unit: WorkUnit, batch: Sequence[Sample], images: NDArray[np.uint8]
    ) -> Sequence[NDArray[np.float16] | None]:
        """The views `float16 [V, k_max, H / 8, W / 8]` of each sample; None outside the training split."""
        from augment.layouts.views import view_layouts

        if not self.views or split_of(unit.shard) != TRAIN_SPLIT:
            return [None] * len(batch)
        seeds = [[stable_seed("view", sample.key, view) for view in range(self.views)] for sample in batch]
        return list(view_layouts(images, seeds, self.layouts, max(1, int(self.resources.num_cpus))))
