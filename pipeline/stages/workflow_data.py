"""The very beginning of the way: from a dataset on disk to the store of real samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from augment.errors import UserError
from augment.prompts import DETAILS, Description, expand
from pipeline.checks.prompts import require_said
from pipeline.config import Config, StageName
from pipeline.datasets import Dataset, Geometry, KindOptions, Listing, Record, SamplingOptions
from pipeline.engine import Source, Stage
from pipeline.stages import shard
from pipeline.stages.class_counts import CountClasses
from pipeline.stages.image_selection import Countable, Sampler
from pipeline.stages.rendering import render_once, scenes_artifact
from pipeline.stages.steps import Size, Step, StorePlan, StoreStep, Tools, resources_of
from pipeline.store import JSON, Manifest, Store
from pipeline.taxonomies import CITYSCAPES, Taxonomy, named_taxonomy, taxonomy_entry
from pipeline.workspace.artifact import Artifact, discard
from pipeline.workspace.workspace import Workspace


@dataclass
class RealData:
    """Plans the stage shard of one run, and knows the images that it writes."""

    config: Config
    workspace: Workspace

    def steps(self) -> list[Step]:
        """The stage."""
        return [
            StoreStep(
                "shard",
                self.workspace.real,
                self.plan,
                self.work,
                self.size,
                self.prepare,
                self.clean,
                remark=self.remarks,
                check_prepared=self.check_prepared,
            ),
        ]

    def check(self) -> None:
        """Look at what comes from outside, before anything is written.

        Raises:
            UserError: the dataset is missing or does not fit, it has no labels to sample by, a prompt asks for what it
                does not say of its images, or its labels cannot be had in the classes asked for.
        """
        self.counts()
        self.require_classes("dataset", self.config.dataset.sampling)
        shard.translation(self.own_taxonomy, self.taxonomy)
        prompts = self.config.generate.prompts
        known = {**self.known_attributes(), **{name: values[0] for name, values in prompts.domains.items()}}
        for template in prompts.templates:
            expand(template, known, Description())
        require_said(prompts)

    def source_attributes(self) -> list[dict[str, str]]:
        """What the dataset says of each image that is to be a source; of rendered ones, what is said of all of them."""
        if self.config.dataset.render is not None:
            return [self.known_attributes()]
        return [record.attributes for split in self.config.generate.splits for record in self.candidates[split]]

    def known_attributes(self) -> dict[str, str]:
        """What the dataset says of every image that is to be a source, with the values of one of them."""
        if self.config.dataset.render is not None:
            return {"medium": "rendered", **dict.fromkeys(DETAILS, "")}
        said = self.source_attributes()
        return {name: value for name, value in said[0].items() if all(name in other for other in said)}

    # How images come to the working size

    @property
    def geometry(self) -> dict[str, int]:
        """Height and width of the working size."""
        return {"height": self.config.geometry.height, "width": self.config.geometry.width}

    @property
    def frame_geometry(self) -> Geometry:
        """How images and labels come to the working size."""
        return self.config.geometry

    @property
    def store(self) -> Store:
        """The real store."""
        return Store.open(self.workspace.real)

    @property
    def root(self) -> str:
        """The folder or URL of the dataset."""
        return self.config.dataset.root or str(self.workspace.scenes)

    @property
    def options(self) -> KindOptions | None:
        """Options of the dataset's own kind."""
        return self.config.dataset.kind_options

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset, which must be there."""
        return self.config.dataset.open(self.root)

    # Which images

    @cached_property
    def listing(self) -> Listing:
        """The images of each split that are read, before any is chosen."""
        return self.config.dataset.list_images(self.dataset)

    @cached_property
    def candidates(self) -> dict[str, list[Record]]:
        """The images of each split, thinned to the limit, before any sampling."""
        return shard.select(self.listing.records, self.config.dataset.limit)

    def candidate_keys(self) -> dict[str, list[str]]:
        """The keys of the candidates."""
        return {split: [record.key for record in records] for split, records in self.candidates.items()}

    @cached_property
    def records(self) -> dict[str, list[Record]]:
        """The chosen images of each split."""
        if self.sampler is None:
            return self.candidates
        chosen = {split: set(found) for split, found in self.sampler.choose(self.candidate_keys()).items()}
        return {
            split: [record for record in records if record.key in chosen[split]]
            for split, records in self.candidates.items()
        }

    @cached_property
    def sampler(self) -> Sampler | None:
        """What chooses among the candidates, where sampling is asked for."""
        settings = self.config.dataset.sampling
        if settings is None:
            return None
        return Sampler(settings, "dataset.sampling", self.workspace.classes, "shard", self.countable)

    def countable(self) -> Countable:
        """The labels of the splits that are sampled."""
        assert self.sampler is not None
        sampled = {split: self.candidates[split] for split in self.sampler.settings.splits}
        inputs: dict[str, JSON] = {
            "dataset": self.dataset.name,
            "listing": shard.listing_digest(sampled),
            "taxonomy": taxonomy_entry(self.taxonomy) if self.taxonomy else None,
            **shard.translation(self.own_taxonomy, self.taxonomy),
            **shard.mask_values(self.dataset),
        }
        settings = self.config.dataset
        labels = shard.LabelSource(
            settings.kind, self.root, settings.taxonomy, self.options, decoding=settings.decoding
        )
        task = CountClasses(labels, self.num_classes(), resources_of(self.config, "shard").resources)
        return Countable(inputs, task, lambda: shard.plan(sampled, self.config.shard.samples_per_shard))

    # What their labels mean

    @property
    def own_taxonomy(self) -> Taxonomy | None:
        """The classes of the dataset on disk, known before scenes are rendered; None where it has no labels."""
        return CITYSCAPES if self.config.dataset.render is not None else self.dataset.taxonomy

    @property
    def taxonomy(self) -> Taxonomy | None:
        """The classes of the labels in the real store and in all that follow from it, if there are labels."""
        name = self.config.dataset.taxonomy
        return self.own_taxonomy if name is None else named_taxonomy(name)

    def num_classes(self) -> int:
        """Classes of the real store's labels; 0 where nothing is labelled."""
        return len(self.taxonomy) if self.taxonomy else 0

    def require_labels(self, splits: Sequence[str], stages: Sequence[StageName]) -> None:
        """Check that every chosen image of these splits is labelled, which these stages need.

        Raises:
            UserError: one is not.
        """
        if self.config.dataset.render is not None:
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
                    f"{bare[0]}, and {', '.join(stages)} need them; to go without, give --until generate, or "
                    "evaluate.split=null to leave them out for good"
                )

    def require_classes(self, section: str, sampling: SamplingOptions | None) -> None:
        """Check that splits which are sampled by class have labels.

        Raises:
            UserError: one has none.
        """
        if self.config.dataset.render is not None or sampling is None or not sampling.by_class:
            return
        for split in sampling.splits:
            images = self.candidates[split]
            if all(record.label is None for record in images):
                raise UserError(
                    f"{section}.sampling goes by class, and none of the {len(images)} images of {split!r} has a label: "
                    "give keys or a fraction, or null to take all"
                )

    def remarks(self) -> str:
        """What should be known of the images before any is read, in lines; empty where there is nothing to say."""
        return "\n".join(filter(None, (*self.not_read(), self.unlabelled())))

    def not_read(self) -> list[str]:
        """What of the dataset is not read, a line each."""
        return [] if self.config.dataset.render is not None else self.listing.remarks()

    def unlabelled(self) -> str:
        """How many images of which splits have no label, in a line; empty where all have one."""
        if self.config.dataset.render is not None:
            return ""
        chosen = self.records if self.sampler is None or self.sampler.is_ready() else self.candidates
        bare = {split: sum(record.label is None for record in records) for split, records in chosen.items()}
        told = [f"{count} of {len(chosen[split])} images of {split}" for split, count in bare.items() if count]
        return f"unlabelled: {', '.join(told)}" if told else ""

    # How much it will be

    def counts(self) -> dict[str, int]:
        """Samples of each split, known before scenes are rendered; at most, before their classes are counted."""
        return {split: count * self.frame_geometry.views_per_image for split, count in self.image_counts().items()}

    def image_counts(self) -> dict[str, int]:
        """Images of each split, known before scenes are rendered; at most, before their classes are counted."""
        render = self.config.dataset.render
        if render is not None and not self.scenes().is_done():
            planned = {"train": render.train, "val": render.val}
            limit = self.config.dataset.limit
            counts = {
                split: min(planned[split], limit.get(split, planned[split])) for split in self.config.dataset.splits
            }
        elif self.sampler is None or self.sampler.is_ready():
            return {split: len(records) for split, records in self.records.items()}
        else:
            counts = {split: len(records) for split, records in self.candidates.items()}
        if self.sampler is None:
            return counts
        return {split: self.sampler.expected(split, count, self.num_classes()) for split, count in counts.items()}

    def size(self) -> Size:
        """Shards and samples of the real store."""
        counts = self.counts()
        return Size(sum(self.shards_of(count) for count in counts.values()), sum(counts.values()))

    def shards_of(self, count: int) -> int:
        """Shards that so many samples of one split fill."""
        images = shard.images_per_shard(self.config.shard.samples_per_shard, self.frame_geometry)
        return -(-count // (images * self.frame_geometry.views_per_image))

    # The store

    def prepare(self, tools: Tools) -> None:
        """Draw scenes and count classes, as far as that is asked for and not done; say what is not read."""
        self.render(tools)
        for line in self.not_read():
            tools.report(f"shard: {line}")
        if self.sampler is not None:
            self.sampler.prepare(tools)

    def check_prepared(self) -> None:
        """Check that scenes and class counts that are there were made as they are asked for."""
        if self.config.dataset.render is not None:
            self.scenes().require_match("shard")
            if not self.scenes().is_done():
                return
        if self.sampler is not None:
            self.sampler.check_prepared()

    def clean(self) -> None:
        """Remove what was prepared."""
        self.unrender()
        if self.sampler is not None:
            self.sampler.discard()

    def scenes(self) -> Artifact:
        """Rendered scenes, where the dataset is made of them."""
        assert self.config.dataset.render is not None
        return scenes_artifact(self.workspace.scenes, self.config.dataset.render)

    def render(self, tools: Tools) -> None:
        """Draw the scenes, where the dataset is made of them and they are not there."""
        if self.config.dataset.render is not None:
            workers = tools.config.cluster.resources("shard").workers
            count = None if workers == "auto" else workers
            render_once(self.workspace.scenes, self.config.dataset.render, count, tools.report)

    def unrender(self) -> None:
        """Remove rendered scenes."""
        if self.config.dataset.render is not None:
            discard(self.workspace.scenes)

    def plan(self) -> StorePlan:
        """The real store: every chosen image at the working size."""
        if self.config.dataset.render is not None:
            self.scenes().require_match("shard")
        units = shard.plan(self.records, self.config.shard.samples_per_shard, self.frame_geometry)
        inputs: dict[str, JSON] = {
            "dataset": self.dataset.name,
            "listing": shard.listing_digest(self.records),
            "samples_per_shard": self.config.shard.samples_per_shard,
            **({"sampling": self.sampler.inputs(self.candidate_keys())} if self.sampler else {}),
            **shard.translation(self.own_taxonomy, self.taxonomy),
            **shard.mask_values(self.dataset),
            **self.config.dataset.decoding.fingerprint_inputs(),
            **self.config.geometry.fingerprint_inputs(),
        }
        taxonomy = taxonomy_entry(self.taxonomy) if self.taxonomy else None
        manifest = Manifest("real", taxonomy, self.geometry, inputs, self.config.shard.image_format)
        return StorePlan(manifest, units.shards.to_pylist(), lambda: units)

    def work(self) -> tuple[Stage, Source]:
        """Stage and source of shard."""
        stage = shard.Shard(**resources_of(self.config, "shard").of_stage)
        settings = self.config.dataset
        source = shard.DatasetSource(
            settings.kind, self.root, settings.taxonomy, self.options, self.frame_geometry, settings.decoding
        )
        return stage, source
