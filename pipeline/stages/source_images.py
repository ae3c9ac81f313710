"""Which real samples images are generated from: all of the requested splits, or a choice."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from pipeline.datasets import TRAIN_SPLIT
from pipeline.engine import Plan, WorkUnit
from pipeline.stages.class_counts import CountClasses
from pipeline.stages.extract import ExtractStep
from pipeline.stages.generation_units import generation_units, shard_names
from pipeline.stages.image_selection import Countable, ImageSelector
from pipeline.stages.job import Job
from pipeline.stages.layout_edits import require_labelled_classes
from pipeline.stages.reading import StoreSource, keys_by_shard, split_of
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Size, contents_of
from pipeline.stages.tools import Tools
from pipeline.stages.variants_by_hardness import OPTION, VariantsByHardness
from pipeline.store import JSON, Store
from pipeline.workspace.content import content_digest

SOURCE_CLASSES = "source_classes.parquet"


class SourceImages:
    """The samples of the store of layouts that images are generated from."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @cached_property
    def selector(self) -> ImageSelector | None:
        """Chooses among the samples; None if all are taken."""
        options = self._job.config.generate.sampling
        if options is None:
            return None
        path = self._job.workspace.artifact(SOURCE_CLASSES)
        return ImageSelector(options, "generate.sampling", path, "generate", self._countable, contents_of(ShardStep))

    def _countable(self) -> Countable:
        """The labels of the real store's splits that are sampled."""
        assert self.selector is not None
        real, splits = self._job.step(ShardStep), self.selector.options.splits
        inputs: dict[str, JSON] = {"real": content_digest(real.store), "splits": list(splits)}
        task = CountClasses(StoreSource(real.url, ("label",)), self._job.images.num_classes, real.resources)

        def units() -> list[WorkUnit]:
            shards = keys_by_shard(real.store)
            return [WorkUnit(name, keys) for name, keys in shards.items() if split_of(name) in splits]

        return Countable(inputs, task, units)

    @cached_property
    def by_hardness(self) -> VariantsByHardness:
        """How many images are painted of each training image."""
        return VariantsByHardness(self._job, self.keys, self.sampling_inputs)

    def check_settings(self) -> None:
        """Check that there are labels, where the choice or the number of images goes by them.

        Raises:
            UserError: there are none.
        """
        self._job.images.require_classes("generate", self._job.config.generate.sampling)
        if self.by_hardness.options is not None:
            require_labelled_classes(self._job, OPTION, (TRAIN_SPLIT,), ())

    def prepare(self, tools: Tools) -> None:
        """Count the classes of the sources, and measure how hard they are, if that is needed and not done."""
        if self.selector is not None:
            self.selector.prepare(tools)
        self.by_hardness.prepare(tools)

    def check_prepared(self) -> None:
        """Raise ArtifactMismatch if the existing counts, or numbers of images, were made from other images."""
        if self.selector is not None:
            self.selector.check_prepared()
        self.by_hardness.check_prepared()

    def discard(self) -> None:
        """Remove the class counts and the numbers of images."""
        if self.selector is not None:
            self.selector.discard()
        self.by_hardness.discard()

    def inputs(self) -> dict[str, JSON]:
        """What the choice and the numbers add to the inputs of the synthetic store; nothing if there are none."""
        return {**self.sampling_inputs(), **self.by_hardness.inputs}

    def candidate_keys(self) -> dict[str, list[str]]:
        """The keys of each sampled split, as in the store of layouts."""
        assert self.selector is not None
        shards = keys_by_shard(self._layouts)
        return {
            split: [key for shard in shards if split_of(shard) == split for key in shards[shard]]
            for split in self.selector.options.splits
        }

    def sampling_inputs(self) -> dict[str, JSON]:
        """What the choice adds to the inputs of the synthetic store; nothing if all samples are taken."""
        return {"sampling": self.selector.inputs(self.candidate_keys())} if self.selector else {}

    def keys(self) -> dict[str, tuple[str, ...]]:
        """Keys by shard: as in the store of layouts; the chosen ones of a sampled split fill shards of their own."""
        shards = keys_by_shard(self._layouts)
        if self.selector is None:
            return shards
        sampled = self.selector.options.splits
        size = self._job.config.shard.samples_per_shard
        packed = {
            f"{split}-{start // size:06d}": tuple(chosen[start : start + size])
            for split, chosen in self.selector.choose(self.candidate_keys()).items()
            for start in range(0, len(chosen), size)
        }
        return {**{shard: keys for shard, keys in shards.items() if split_of(shard) not in sampled}, **packed}

    def names(self, ks: Sequence[int]) -> list[str]:
        """Names of the shards to paint; without a choice, and with as many variants of each, no index is read."""
        if self.by_hardness.options is not None:
            return [unit.shard for unit in self.units(ks)]
        options = self._job.config.generate
        sources = sorted(self._layouts.done() if self.selector is None else self.keys())
        return [name for name, *_ in shard_names(sources, options.splits, ks, options.variants)]

    def units(self, ks: Sequence[int], splits: Sequence[str] | None = None) -> Plan:
        """The units that paint at these numbers of components, of these splits or all that are configured."""
        options = self._job.config.generate
        splits = options.splits if splits is None else splits
        return generation_units(self.keys(), splits, ks, options.variants, self.by_hardness.numbers())

    def to_paint(self, splits: Sequence[str]) -> Size:
        """Shards and images of these splits for one k; an upper bound before all is known that they depend on."""
        sources, variants, by = self.size(splits), self._job.config.generate.variants, self.by_hardness.options
        images = variants * sources.samples
        if by is None:
            return Size(variants * sources.units, images)
        if self.by_hardness.is_known():
            return Size(len(self.units((0,), splits)), images)
        varied = self.size([split for split in splits if split == TRAIN_SPLIT]).units
        return Size(variants * (sources.units - varied) + by.most * varied, images)

    def size(self, splits: Sequence[str]) -> Size:
        """Shards and samples of these splits; an upper bound before the choice is known."""
        job = self._job
        if self.selector is not None and Store.is_at(job.step(ExtractStep).url) and self.selector.is_ready():
            sources = [keys for shard, keys in self.keys().items() if split_of(shard) in splits]
            return Size(len(sources), sum(map(len, sources)))
        counts = {split: count for split, count in job.images.counts().items() if split in splits}
        if self.selector is not None:
            classes = job.images.num_classes
            counts = {split: self.selector.expected(split, count, classes) for split, count in counts.items()}
        # The chosen samples are packed one by one: tiles of one image may be in different shards.
        size = job.config.shard.samples_per_shard
        sampled = self.selector.options.splits if self.selector else ()
        shards = (
            -(-count // size) if split in sampled else job.images.shards_of(count) for split, count in counts.items()
        )
        return Size(sum(shards), sum(counts.values()))

    @property
    def _layouts(self) -> Store:
        return self._job.step(ExtractStep).store
