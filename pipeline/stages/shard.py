"""shard: a dataset on disk becomes a store at the working size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from augment.options import Options
from pipeline.checks.labels import LabelCheck
from pipeline.datasets.registry import reader_inputs
from pipeline.engine import Ok, Outcome, Resources, Source, Stage, WorkUnit
from pipeline.stages.dataset_source import listing_digest, mask_values, plan_units, translation
from pipeline.stages.images import CLASSES, DATASET_NAMES, SCENES
from pipeline.stages.rendering import render_once
from pipeline.stages.step import Size, Step
from pipeline.stages.store_step import StorePlan, StoreStep
from pipeline.stages.tools import Tools
from pipeline.store import JSON, Manifest, Sample
from pipeline.taxonomies import taxonomy_entry
from pipeline.workspace.artifact import discard, require_own


class ShardOptions(Options):
    """How samples are stored."""

    samples_per_shard: int = Field(
        default=256, ge=1, le=100_000, description="samples in a shard, which is the work unit of every stage"
    )
    image_format: Literal["png", "jpg", "webp"] = Field(default="png", description="format of images; labels are png")


class ShardStep(StoreStep):
    """Writes the real store: every chosen image at the working size."""

    name = "shard"
    output = "real"
    title = "the real store"
    prepared = (SCENES, CLASSES)
    input_names: ClassVar[Mapping[str, str]] = {
        "image_format": "shard.image_format",
        "samples_per_shard": "shard.samples_per_shard",
        **DATASET_NAMES,
        "sampling": "dataset.sampling",
    }

    def check_settings(self) -> None:
        """Check the dataset and the classes requested of it."""
        images = self.job.images
        images.counts()
        images.require_classes("dataset", self.config.dataset.sampling)
        translation(images.own_taxonomy, images.taxonomy)

    def check(self, left: Sequence[Step]) -> list[str]:
        """Look at some labels and images of each split."""
        trains = any(step.needs_labels for step in left)
        return LabelCheck(self.job.images, self.config.error_budget, self.config.evaluate.split, trains).run()

    def remark(self) -> str:
        """What is not read, and what has no label."""
        images = self.job.images
        return "\n".join(filter(None, (*images.unread_remarks(), images.unlabelled_remark())))

    def size(self) -> Size:
        """Shards and samples of the store."""
        counts = self.job.images.counts()
        return Size(sum(self.job.images.shards_of(count) for count in counts.values()), sum(counts.values()))

    def prepare(self, tools: Tools) -> None:
        """Render scenes and count classes, if that is requested and not done; report what is not read."""
        images, render = self.job.images, self.config.dataset.render
        if render is not None:
            workers = None if self.resources.workers == "auto" else self.resources.workers
            render_once(self.workspace.artifact(SCENES), render, workers, tools.report)
        for line in images.unread_remarks():
            tools.report(f"shard: {line}")
        if images.selector is not None:
            images.selector.prepare(tools)

    def check_prepared(self) -> None:
        """Check that existing scenes and class counts are those requested."""
        images = self.job.images
        if images.is_rendered:
            images.scenes().require_match(self.name)
            if not images.scenes().is_done():
                return
        if images.selector is not None:
            images.selector.check_prepared()

    def require_resettable(self) -> None:
        """See `Step.require_resettable`; scenes are removed too."""
        super().require_resettable()
        if self.job.images.is_rendered:
            require_own(self.workspace.artifact(SCENES))

    def clean(self) -> None:
        """Remove scenes and class counts."""
        if self.job.images.is_rendered:
            discard(self.workspace.artifact(SCENES))
        if self.job.images.selector is not None:
            self.job.images.selector.discard()

    def plan(self) -> StorePlan:
        """Units of the chosen images in order."""
        images, samples = self.job.images, self.config.shard.samples_per_shard
        if images.is_rendered:
            images.scenes().require_match(self.name)
        units = plan_units(images.records, samples, images.geometry)
        inputs: dict[str, JSON] = {
            "dataset": images.dataset.name,
            "listing": listing_digest(images.records),
            "samples_per_shard": samples,
            **({"sampling": images.selector.inputs(images.candidate_keys())} if images.selector else {}),
            **translation(images.own_taxonomy, images.taxonomy),
            **mask_values(images.dataset),
            **reader_inputs(self.config.dataset.kind),
            **self.config.dataset.decoding.fingerprint_inputs(),
            **images.geometry.fingerprint_inputs(),
        }
        taxonomy = taxonomy_entry(images.taxonomy) if images.taxonomy else None
        manifest = Manifest("real", taxonomy, images.working_size, inputs, self.config.shard.image_format)
        return StorePlan(manifest, units.shards.to_pylist(), lambda: units)

    def work(self) -> tuple[Stage, Source]:
        """The stage and its source."""
        return Shard(**self.for_stage), self.job.images.source()


@dataclass(frozen=True)
class Shard:
    """Writes samples unchanged: their source reads and resizes them, in the threads that decode."""

    resources: Resources
    batch_size: int
    name: str = "shard"

    def setup(self) -> None:
        """Nothing to load."""

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:  # noqa: ARG002
        """Every sample, unchanged."""
        return [Ok(sample) for sample in batch]
