"""extract: the conditioning maps of every real image, stored once with all channels: its neural layout, for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from augment.errors import UserError
from pipeline.engine import Failed, Ok, Outcome, Resources, Source, Stage, WorkUnit
from pipeline.stages.conditioning import (
    CONDITIONING_NAMES,
    LoadConditioning,
    conditioning_inputs,
    is_layout,
    load_other,
    require_conditioned,
    require_conditioning,
)
from pipeline.stages.fit import FitStep, require_reachable_backbone
from pipeline.stages.job import Job
from pipeline.stages.reading import StoreSource
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Size, Step, contents_of
from pipeline.stages.store_step import StorePlan, StoreStep, plan_like
from pipeline.store import JSON, InvalidSample, Manifest, Sample, stack_pairs
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
        **CONDITIONING_NAMES,
    }

    def check_models(self) -> None:
        """Check that the backbone exists, or the model of another conditioning."""
        if is_layout(self.config):
            require_reachable_backbone(self.config.backbone.name)
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
        inputs: dict[str, JSON] = {"real": content_digest(real), **conditioning_inputs(self.job)}
        if is_layout(self.config):
            inputs |= {
                "backbone": backbone_identity(self.config.backbone.name),
                "basis": basis_digest(self.job.step(FitStep).used),
                "k_max": self.config.layout.k_max,
            }
        manifest = Manifest(LAYOUTS, None, self.job.images.working_size, inputs)
        return plan_like(real, manifest)

    def work(self) -> tuple[Stage, Source]:
        """The stage and its source."""
        stage = Extract(load_conditioning(self.job), **self.for_model)
        needs_labels = self.config.conditioning == "label"
        return stage, StoreSource(self.job.step(ShardStep).url, ("image", "label") if needs_labels else ("image",))


def load_conditioning(job: Job) -> LoadConditioning:
    """How workers load the conditioning of a run."""
    if not is_layout(job.config):
        return load_other(job)
    return partial(_load_layout, job.config.backbone.name, job.step(FitStep).used, job.config.layout.k_max)


def _load_layout(backbone: str, basis: Path, k_max: int, device: str) -> Conditioning:
    from augment.conditioning.neural_layout import NeuralLayout

    return NeuralLayout.load(backbone, basis, k_max, device)


@dataclass
class Extract:
    """Turns images into the maps of a conditioning.

    Attributes:
        load: gives the conditioning, in the worker, on a device.
    """

    load: LoadConditioning
    device: str
    resources: Resources
    batch_size: int
    name: str = "extract"
    _conditioning: Conditioning | None = field(default=None, repr=False)

    def setup(self) -> None:
        """Load the conditioning."""
        self._conditioning = self.load(self.device)

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:  # noqa: ARG002
        """Maps `float16 [K, H / 8, W / 8]` of a batch of images of one size."""
        assert self._conditioning is not None
        if self._conditioning.needs_labels:
            return self._of_labels(batch)
        images = np.stack([sample.image for sample in batch if sample.image is not None])
        return [_outcome(*pair) for pair in zip(batch, self._conditioning.maps(images), strict=True)]

    def _of_labels(self, batch: Sequence[Sample]) -> list[Outcome]:
        """The same of a conditioning that reads labels, which an image may lack."""
        assert self._conditioning is not None
        labelled = [sample for sample in batch if sample.label is not None]
        maps: dict[str, NDArray[np.float16]] = {}
        if labelled:
            try:
                found = self._conditioning.maps(*stack_pairs(labelled))
            except UserError as error:
                # The engine tries the samples again one by one, so that only the one at fault is quarantined.
                raise InvalidSample(f"bad label: {error}") from error
            maps = dict(zip((sample.key for sample in labelled), found, strict=True))
        return [
            _outcome(sample, maps[sample.key])
            if sample.key in maps
            else Failed(sample.key, "unlabelled: the conditioning reads its label, and it has none")
            for sample in batch
        ]


def _outcome(sample: Sample, maps: NDArray[np.float16]) -> Outcome:
    if not np.isfinite(maps).all():
        return Failed(sample.key, "not finite: its layout holds NaN or exceeds float16")
    return Ok(Sample(sample.key, layout=maps, metadata=sample.metadata))
