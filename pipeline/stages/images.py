"""The images of the dataset that a run uses: which they are, what their labels mean, and how many there will be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from augment.errors import UserError
from augment.prompts import DETAILS
from pipeline.datasets import Dataset, Geometry, Listing, Record, SamplingOptions
from pipeline.datasets.registry import reader_inputs
from pipeline.stages.class_counts import CountClasses
from pipeline.stages.dataset_source import (
    DatasetSource,
    LabelSource,
    images_per_shard,
    listing_digest,
    mask_values,
    plan_units,
    select,
    translation,
)
from pipeline.stages.image_selection import Countable, ImageSelector
from pipeline.stages.rendering import scenes_artifact
from pipeline.store import JSON
from pipeline.taxonomies import CITYSCAPES, Taxonomy, named_taxonomy, taxonomy_entry
from pipeline.workspace.artifact import Artifact
from pipeline.workspace.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.config import Config

SCENES, CLASSES = "scenes", "classes.parquet"
WITHOUT_LABELS = "to go without, give --until generate, or evaluate.split=null to leave them out for good"
# What inputs that come from the dataset are called in messages.
DATASET_NAMES = {
    "dataset": "dataset.kind",
    "listing": "the dataset's list of images",
    "masks": "the classes of the dataset's masks",
    "translation": "dataset.taxonomy",
    "reader": "the module of dataset.kind",
}


@dataclass
class RealImages:
    """The images that become the real store, known before that is written."""

    config: Config
    workspace: Workspace

    # The dataset

    @property
    def is_rendered(self) -> bool:
        """Whether the dataset is rendered by the run itself."""
        return self.config.dataset.render is not None

    @property
    def root(self) -> str:
        """The folder or URL of the dataset."""
        return self.config.dataset.root or str(self.workspace.artifact(SCENES))

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset, which must exist."""
        return self.config.dataset.open(self.root)

    def scenes(self) -> Artifact:
        """The rendered scenes."""
        assert self.config.dataset.render is not None
        return scenes_artifact(self.workspace.artifact(SCENES), self.config.dataset.render)

    def source(self) -> DatasetSource:
        """Reads the images at the working size."""
        settings = self.config.dataset
        return DatasetSource(
            settings.kind, self.root, settings.taxonomy, settings.kind_options, self.geometry, settings.decoding
        )

    @property
    def geometry(self) -> Geometry:
        """How images and labels come to the working size."""
        return self.config.geometry

    @property
    def working_size(self) -> dict[str, int]:
        """Height and width of all samples in pixels, for manifests."""
        return {"height": self.geometry.height, "width": self.geometry.width}

    # Which images

    @cached_property
    def listing(self) -> Listing:
        """The images of each split, before any is chosen."""
        return self.config.dataset.list_images(self.dataset, self.config.dataset.splits)

    @cached_property
    def candidates(self) -> dict[str, list[Record]]:
        """The images of each split, thinned to the limit, before any sampling."""
        return select(self.listing.records, self.config.dataset.limit)

    def candidate_keys(self) -> dict[str, list[str]]:
        """The keys of the candidates."""
        return {split: [record.key for record in records] for split, records in self.candidates.items()}

    @cached_property
    def records(self) -> dict[str, list[Record]]:
        """The chosen images of each split."""
        if self.selector is None:
            return self.candidates
        chosen = {split: set(found) for split, found in self.selector.choose(self.candidate_keys()).items()}
        return {
            split: [record for record in records if record.key in chosen[split]]
            for split, records in self.candidates.items()
        }

    @cached_property
    def selector(self) -> ImageSelector | None:
        """Chooses among the candidates; None if all are taken."""
        settings = self.config.dataset.sampling
        if settings is None:
            return None
        path = self.workspace.artifact(CLASSES)
        return ImageSelector(settings, "dataset.sampling", path, "shard", self._countable, DATASET_NAMES)

    def _countable(self) -> Countable:
        """The labels of the splits that are sampled."""
        assert self.selector is not None
        sampled = {split: self.candidates[split] for split in self.selector.options.splits}
        inputs: dict[str, JSON] = {
            "dataset": self.dataset.name,
            "listing": listing_digest(sampled),
            "taxonomy": taxonomy_entry(self.taxonomy) if self.taxonomy else None,
            **translation(self.own_taxonomy, self.taxonomy),
            **mask_values(self.dataset),
            **reader_inputs(self.config.dataset.kind),
        }
        settings = self.config.dataset
        labels = LabelSource(
            settings.kind, self.root, settings.taxonomy, settings.kind_options, decoding=settings.decoding
        )
        task = CountClasses(labels, self.num_classes, self.config.cluster.resources("shard"))
        return Countable(inputs, task, lambda: plan_units(sampled, self.config.shard.samples_per_shard))

    # What is known of each image

    def source_attributes(self) -> list[dict[str, str]]:
        """The attributes of each image that is a source to generate from; of rendered ones, those that all have."""
        if self.is_rendered:
            return [self.known_attributes()]
        return [record.attributes for split in self.config.generate.splits for record in self.candidates[split]]

    def known_attributes(self) -> dict[str, str]:
        """The attributes that every image to generate from has, with the values of one of them."""
        if self.is_rendered:
            return {"medium": "rendered", **dict.fromkeys(DETAILS, "")}
        found = self.source_attributes()
        return {name: value for name, value in found[0].items() if all(name in other for other in found)}

    # What their labels mean

    @property
    def own_taxonomy(self) -> Taxonomy | None:
        """The classes of the dataset on disk, known before scenes are rendered; None if it has no labels."""
        return CITYSCAPES if self.is_rendered else self.dataset.taxonomy

    @property
    def taxonomy(self) -> Taxonomy | None:
        """The classes of the labels in the real store and in all later stores, if there are labels."""
        name = self.config.dataset.taxonomy
        return self.own_taxonomy if name is None else named_taxonomy(name)

    @property
    def num_classes(self) -> int:
        """Number of classes of the real store's labels; 0 without labels."""
        return len(self.taxonomy) if self.taxonomy else 0

    def require_labels(self, splits: Sequence[str], stages: Collection[str], remedy: str = WITHOUT_LABELS) -> None:
        """Check that every chosen image of these splits has a label, which these stages need.

        Raises:
            UserError: one has none.
        """
        if self.is_rendered:
            return
        # A choice by class takes labelled images only, and is not known before they are counted.
        sampling = self.config.dataset.sampling
        by_class = sampling.splits if sampling is not None and sampling.by_class else ()
        chosen = self.candidates if by_class else self.records
        for split in (split for split in splits if split not in by_class):
            bare = [record.image for record in chosen[split] if record.label is None]
            if bare:
                raise UserError(
                    f"dataset: {len(bare)} of {len(chosen[split])} images of {split!r} have no label, such as "
                    f"{bare[0]}, and {', '.join(stages)} need them; {remedy}"
                )

    def require_classes(self, section: str, sampling: SamplingOptions | None) -> None:
        """Check that splits which are sampled by class have labels.

        Raises:
            UserError: one has none.
        """
        if self.is_rendered or sampling is None or not sampling.by_class:
            return
        for split in sampling.splits:
            images = self.candidates[split]
            if all(record.label is None for record in images):
                raise UserError(
                    f"{section}.sampling goes by class, and none of the {len(images)} images of {split!r} has a label: "
                    "give keys or a fraction, or null to take all"
                )

    def unread_remarks(self) -> list[str]:
        """What the dataset holds that is not read, a line each."""
        return [] if self.is_rendered else self.listing.remarks()

    def unlabelled_remark(self) -> str:
        """How many images of which splits have no label, in a line; empty if all have one."""
        if self.is_rendered:
            return ""
        chosen = self.records if self.selector is None or self.selector.is_ready() else self.candidates
        bare = {split: sum(record.label is None for record in records) for split, records in chosen.items()}
        counts = [f"{count} of {len(chosen[split])} images of {split}" for split, count in bare.items() if count]
        return f"unlabelled: {', '.join(counts)}" if counts else ""

    # How many there will be

    def counts(self) -> dict[str, int]:
        """Samples of each split, known before scenes are rendered; an upper bound before their classes are counted."""
        return {split: count * self.geometry.views_per_image for split, count in self._image_counts().items()}

    def _image_counts(self) -> dict[str, int]:
        render = self.config.dataset.render
        if render is not None and not self.scenes().is_done():
            planned = {"train": render.train, "val": render.val}
            limit = self.config.dataset.limit
            counts = {
                split: min(planned[split], limit.get(split, planned[split])) for split in self.config.dataset.splits
            }
        elif self.selector is None or self.selector.is_ready():
            return {split: len(records) for split, records in self.records.items()}
        else:
            counts = {split: len(records) for split, records in self.candidates.items()}
        if self.selector is None:
            return counts
        return {split: self.selector.expected(split, count, self.num_classes) for split, count in counts.items()}

    def shards_of(self, count: int) -> int:
        """Number of shards that ``count`` samples of one split fill."""
        images = images_per_shard(self.config.shard.samples_per_shard, self.geometry)
        return -(-count // (images * self.geometry.views_per_image))
