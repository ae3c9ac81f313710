"""Which real samples images are generated from: all of the requested splits, or a choice."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from pipeline.engine import WorkUnit
from pipeline.stages.class_counts import CountClasses
from pipeline.stages.extract import ExtractStep
from pipeline.stages.image_selection import Countable, ImageSelector
from pipeline.stages.job import Job
from pipeline.stages.reading import StoreSource, keys_by_shard, split_of
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Size, contents_of
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

    def shards(self) -> list[str]:
        """Names of the shards, sorted; without a choice no index is read."""
        return sorted(self._layouts.done() if self.selector is None else self.keys())

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
