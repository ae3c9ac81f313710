"""curate: synthetic labels that the judge does not believe are ignored, or the image is dropped."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from augment.errors import UserError
from pipeline.datasets import TRAIN_SPLIT
from pipeline.engine import (
    Dropped,
    Failed,
    FittingBatches,
    Ok,
    Outcome,
    Plan,
    Resources,
    Source,
    Stage,
    WorkUnit,
    top_reasons,
)
from pipeline.stages.fit import training_units
from pipeline.stages.generate import GenerateStep
from pipeline.stages.judge import JudgeStep, load_judge, require_labels
from pipeline.stages.reading import StoreSource, keys_by_shard
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Size, Step, contents_of
from pipeline.stages.store_step import StorePlan, StoreStep
from pipeline.stages.tools import Tools
from pipeline.store import JSON, Manifest, Sample, stack_pairs
from pipeline.workspace.artifact import Artifact, discard, require_own
from pipeline.workspace.content import content_digest
from pipeline.workspace.mismatch import content_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from augment.filtering import LossHistogram, LossScale

# The artifact with the loss scale, and the file in it.
SCALE_FOLDER, SCALE = "scale", "scale.json"
# Metadata of a pair that no fit judge has scored.
NOT_JUDGED = {"verdict": "not judged"}


class CurateStep(StoreStep):
    """Writes the curated store: the training shards of the synthetic one, judged."""

    name = "curate"
    output = "curated"
    title = "the curated store"
    prepared = (SCALE_FOLDER,)
    lineage = (SCALE_FOLDER, "curated")
    reads = ("shard", "judge")
    grows_with = "generate"
    needs_labels = True
    needs_held_out = True
    input_names: ClassVar[Mapping[str, str]] = {
        **contents_of(ShardStep, JudgeStep),
        "synthetic": content_of("the inputs of the synthetic store"),
        "image_format": "shard.image_format",
        "quantile": "curate.quantile",
        "tolerance": "curate.tolerance",
        "options": "curate",
        "judged": "a judge that is fit to curate",
    }

    @property
    def judge(self) -> JudgeStep:
        """The stage that makes the judge."""
        return self.job.step(JudgeStep)

    def check(self, left: Sequence[Step]) -> list[str]:
        """Check that there are labels to fit the loss scale on."""
        require_labels(self.job, left)
        return []

    def remark(self) -> str:
        """That nothing is curated, and why; empty if the judge is fit, or does not exist yet."""
        if (shortfall := self.judge.shortfall()) is None:
            return ""
        return f"curate: every pair is kept as it is, because the judge is unfit: {shortfall}; {self.judge.remedy}"

    def size(self) -> Size:
        """Shards and samples, if none is dropped."""
        if TRAIN_SPLIT not in self.config.generate.splits:
            return Size(0, 0)
        return self.job.step(GenerateStep).size_of((TRAIN_SPLIT,))

    def scale(self) -> Artifact:
        """The usual loss of the judge for each class on real training data."""
        options = self.config.curate
        inputs: dict[str, JSON] = {
            "judge": self.judge.record.digest,
            "real": content_digest(self.job.step(ShardStep).store),
            "quantile": options.quantile,
            "tolerance": options.tolerance,
        }
        path = self.workspace.artifact(SCALE_FOLDER)
        return Artifact(path, "loss-scale", inputs, input_names=self.input_names)

    def check_prepared(self) -> None:
        """Check that an existing loss scale was fitted with these options."""
        self.scale().require_match(self.name)

    def prepare(self, tools: Tools) -> None:
        """Fit the loss scale on real training data, if that is not done and the judge is fit."""
        if line := self.remark():
            tools.report(line)
            return
        self.check_prepared()
        if self.scale().is_done():
            return
        from augment.filtering import LossHistogram, LossScale

        real, taxonomy, options = self.job.step(ShardStep), self.judge.taxonomy, self.config.curate
        task = CountLosses(
            StoreSource(real.url, ("image", "label")),
            self._load_judge(),
            len(taxonomy),
            **self.for_stage,
            ignore_index=taxonomy.ignore_index,
        )
        units = training_units(keys_by_shard(real.store))
        histogram = LossHistogram.merged(part for _, part in tools.executor.map(task, units))
        scale = LossScale.fit(histogram, taxonomy.classes, options)
        with self.scale().building() as folder:
            scale.save(folder / SCALE)

    def require_resettable(self) -> None:
        """See `Step.require_resettable`; the loss scale is removed too."""
        super().require_resettable()
        require_own(self.workspace.artifact(SCALE_FOLDER))

    def clean(self) -> None:
        """Remove the loss scale."""
        discard(self.workspace.artifact(SCALE_FOLDER))

    def plan(self) -> StorePlan:
        """One unit for each training shard of the synthetic store."""
        synthetic = self.job.step(GenerateStep).store
        inputs: dict[str, JSON] = {
            "synthetic": synthetic.manifest.fingerprint,
            "judge": self.judge.record.digest,
            "options": self.config.curate.model_dump(),
            **({"judged": False} if self.judge.shortfall() else {}),
        }
        taxonomy = self.job.step(ShardStep).store.manifest.taxonomy
        size, image_format = self.job.images.working_size, self.config.shard.image_format
        manifest = Manifest("curated", taxonomy, size, inputs, image_format)
        names = [name for name in sorted(synthetic.done()) if is_training_shard(name)]
        return StorePlan(manifest, names, lambda: curation_units(keys_by_shard(synthetic)))

    def work(self) -> tuple[Stage, Source]:
        """The stage and its source."""
        source = StoreSource(self.job.step(GenerateStep).url, ("image", "label", "instances"))
        if self.judge.shortfall():
            return KeepAll(**self.for_stage), source
        stage = Curate(
            self._load_judge(),
            str(self.workspace.artifact(SCALE_FOLDER)),
            self.config.curate.min_reliable,
            **self.for_stage,
            ignore_index=self.judge.taxonomy.ignore_index,
        )
        return stage, source

    def _load_judge(self) -> Callable[[], PixelJudge]:
        return partial(load_judge, str(self.judge.path), self.resources.device)

    def require_samples(self) -> None:
        """Check that the store, which is complete, holds a sample.

        Raises:
            UserError: it holds none; the message says what became of the synthetic images, why, and what to set.
        """
        made, options = self.store.totals(), self.config.curate
        if made.samples:
            return
        became = []
        if made.dropped:
            became.append(f"{made.dropped} dropped ({top_reasons(made.drop_reasons)})")
        if made.failures:
            became.append(f"{made.failures} quarantined ({top_reasons(made.failure_reasons)})")
        command = f"lumen run {shlex.quote(str(self.workspace.config))}"
        raise UserError(
            f"curate has kept none of {made.dropped + made.failures} synthetic training images for the mixes: "
            f"{' and '.join(became) or 'there were none'}. It drops an image if the judge believes less than "
            f"curate.min_reliable={options.min_reliable:g} of the labelled pixels: give a lower one, or a higher "
            f"curate.tolerance than {options.tolerance:g}, with {command} --redo curate; or train the judge for longer "
            f"than judge.iterations={self.config.judge.iterations}, with --redo judge; or remove the mixes with "
            "synthetic data from downstream.mixes"
        )


def is_training_shard(shard: str) -> bool:
    """Whether a shard of the synthetic store is made from training images."""
    return shard.startswith(f"{TRAIN_SPLIT}-k")


def curation_units(shards: Mapping[str, tuple[str, ...]]) -> Plan:
    """One unit for each synthetic shard of the training split: held-out data is for evaluation, as it is."""
    return Plan.of(WorkUnit(name, keys) for name, keys in shards.items() if is_training_shard(name))


class PixelJudge(Protocol):
    """A segmenter that says how surprising each pixel's label is."""

    def loss(self, images: NDArray[np.uint8], labels: NDArray[np.unsignedinteger]) -> NDArray[np.float32]:
        """Cross-entropy in nats `float32 [B, H, W]` of images `uint8 [B, H, W, 3]` against their labels."""
        ...


@dataclass
class CountLosses:
    """Counts the judge's losses on one shard of real images, by class and size."""

    source: StoreSource
    load_judge: Callable[[], PixelJudge]
    num_classes: int
    resources: Resources
    batch_size: int
    ignore_index: int = 255
    name: str = "curate"
    _judge: PixelJudge | None = field(default=None, repr=False)
    _batches: FittingBatches | None = field(default=None, repr=False)

    def setup(self) -> None:
        """Load the judge."""
        self._judge = self.load_judge()
        self._batches = FittingBatches(self.name, self.batch_size)

    def run(self, unit: WorkUnit) -> LossHistogram:
        """The histogram of the unit's images; those that do not read are left out."""
        from augment.filtering import LossHistogram

        assert self._judge is not None and self._batches is not None
        judge = self._judge

        def count(batch: Sequence[Sample]) -> list[LossHistogram]:
            images, labels = stack_pairs(batch)
            return [LossHistogram.of(judge.loss(images, labels), labels, self.num_classes, self.ignore_index)]

        samples = [sample for sample in self.source.read(unit) if not isinstance(sample, Failed)]
        return LossHistogram.merged(self._batches.run(samples, count))


@dataclass
class Curate:
    """Ignores the pixels whose label the judge does not believe, and drops images with too many of them.

    Attributes:
        load_judge: gives the judge, in the worker.
        scale: folder of the loss scale.
        min_reliable: least share of an image's labelled pixels to believe, 0..1.
        ignore_index: id of pixels without a class, and of those that are not believed.
    """

    load_judge: Callable[[], PixelJudge]
    scale: str
    min_reliable: float
    resources: Resources
    batch_size: int
    ignore_index: int = 255
    name: str = "curate"
    _judge: PixelJudge | None = field(default=None, repr=False)
    _scale: LossScale | None = field(default=None, repr=False)

    def setup(self) -> None:
        """Load judge and scale."""
        from augment.filtering import LossScale

        self._judge = self.load_judge()
        self._scale = LossScale.load(Path(self.scale) / SCALE)

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:  # noqa: ARG002
        """Judge a batch of pairs."""
        from augment.filtering import holds_nan, mask_unreliable, reliable_share

        assert self._judge is not None and self._scale is not None
        images, labels = stack_pairs(batch)
        losses = self._judge.loss(images, labels)
        outcomes: list[Outcome] = []
        for sample, label, loss in zip(batch, labels, losses, strict=True):
            if holds_nan(loss, label, self.ignore_index):
                outcomes.append(Failed(sample.key, "not finite: the judge's loss of its pixels holds NaN"))
                continue
            reliable = self._scale.reliable(loss, label, self.ignore_index)
            share = round(reliable_share(label, reliable, self.ignore_index), 6)
            if share < self.min_reliable:
                labelled = bool((label != self.ignore_index).any())
                reason = (
                    f"unreliable: {share:.2f} of its pixels are believed"
                    if labelled
                    else "unlabelled: no pixel has a class"
                )
                outcomes.append(Dropped(sample.key, reason))
                continue
            verdict = {**sample.metadata, "reliable": share}
            believed = mask_unreliable(label, reliable, self.ignore_index)
            outcomes.append(Ok(replace(sample, label=believed, metadata=verdict)))
        return outcomes


@dataclass
class KeepAll:
    """Keeps every pair as it is, and says so in its metadata: what stands for curation where the judge is unfit."""

    resources: Resources
    batch_size: int
    name: str = "curate"

    def setup(self) -> None:
        """Nothing to load."""

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:  # noqa: ARG002
        """Keep a batch of pairs."""
        return [Ok(replace(sample, metadata={**sample.metadata, **NOT_JUDGED})) for sample in batch]
