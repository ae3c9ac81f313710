"""More images of hard layouts and fewer of easy ones, by the judge's usual loss of the classes in their labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from augment.errors import UserError
from pipeline.datasets import TRAIN_SPLIT
from pipeline.engine import Source, WorkUnit
from pipeline.stages.class_counts import CountClasses, count_classes
from pipeline.stages.extract import ExtractStep
from pipeline.stages.fit import training_units
from pipeline.stages.generate_options import VariantRange
from pipeline.stages.hard_source import HardSources, MarkedSource
from pipeline.stages.job import Job
from pipeline.stages.judge import JudgeStep, load_judge
from pipeline.stages.reading import StoreSource, keys_by_shard, split_of
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import contents_of
from pipeline.stages.tools import Tools
from pipeline.store import JSON
from pipeline.workspace.artifact import Artifact, discard
from pipeline.workspace.content import content_digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HARD_SOURCES = "hardness.parquet"
OPTION = "generate.variants_by_hardness"
# Classes that a line names.
_NAMED = 3


class VariantsByHardness:
    """How many images are painted of each labelled training image, if that depends on its hardness.

    The hardness is that of the classes in its label: their mean loss on the images held back from the judge. The judge
    has learned from the others, so its loss on these would say how well it remembers them.
    """

    def __init__(
        self, job: Job, sources: Callable[[], Mapping[str, tuple[str, ...]]], sampling: Callable[[], dict[str, JSON]]
    ) -> None:
        """`sources` gives the keys of each shard to paint from, and `sampling` what their choice depends on."""
        self._job, self._sources, self._sampling = job, sources, sampling

    @property
    def options(self) -> VariantRange | None:
        """The fewest and most; None if all sources have as many."""
        return self._job.config.generate.variants_by_hardness

    @property
    def inputs(self) -> dict[str, JSON]:
        """What the synthetic store depends on; nothing if the number does not vary."""
        if self.options is None:
            return {}
        numbers: dict[str, JSON] = {**self.options.model_dump(), "variants": self._job.config.generate.variants}
        return {JudgeStep.output: self._judge.record.digest, "variants_by_hardness": numbers}

    @property
    def _judge(self) -> JudgeStep:
        return self._job.step(JudgeStep)

    def artifact(self) -> Artifact:
        """The hardness of the sources, and their numbers."""
        share: JSON = self._job.config.judge.held_back
        inputs: dict[str, JSON] = {
            "real": content_digest(self._job.step(ShardStep).store),
            "layouts": content_digest(self._job.step(ExtractStep).store),
            "held_back": share,
            **self.inputs,
            **self._sampling(),
        }
        names = {
            **contents_of(ShardStep, ExtractStep, JudgeStep),
            "held_back": "judge.held_back",
            "variants_by_hardness": OPTION,
            "sampling": "generate.sampling",
        }
        return Artifact(self._path, "hardness", inputs, input_names=names)

    def is_known(self) -> bool:
        """Whether the number of images of each source is known."""
        return self.options is None or (self._is_readable() and self.artifact().is_done())

    def _is_readable(self) -> bool:
        """Whether there is a file of numbers, and all that it is compared with."""
        made = (self._job.step(step).is_begun() for step in (ShardStep, ExtractStep, JudgeStep))
        return self._path.is_file() and all(made)

    @property
    def _path(self) -> Path:
        return self._job.workspace.artifact(HARD_SOURCES)

    def numbers(self) -> dict[str, int]:
        """key of a labelled training image -> its number of variants; empty if the number does not vary.

        Raises:
            UserError: they are missing, or were made from other inputs.
        """
        if self.options is None:
            return {}
        artifact = self.artifact()
        artifact.require_match("generate")
        if not self.is_known():
            raise UserError(
                f"{OPTION}: {artifact.path} is missing, which says how many images each source has: put it back, or "
                "make the images again with --redo generate"
            )
        found = HardSources.load(artifact.path)
        return dict(zip(found.keys, found.variants, strict=True))

    def prepare(self, tools: Tools) -> None:
        """Measure the hardness of the sources, if that is not done.

        Raises:
            UserError: the judge is unfit, or no source has a label.
        """
        if self.options is None or self.is_known():
            return
        self.check_prepared()
        if shortfall := self._judge.shortfall():
            raise UserError(
                f"{OPTION}: the judge is unfit, so its loss does not say what is hard: {shortfall}; "
                f"{self._judge.remedy}, or leave {OPTION} out"
            )
        from augment.hardness import hardness_of, images_by_hardness

        losses, options = self._class_losses(tools), self.options
        real = self._job.step(ShardStep)
        units = [WorkUnit(name, keys) for name, keys in self._sources().items() if split_of(name) == TRAIN_SPLIT]
        task = CountClasses(StoreSource(real.url, ("label",)), len(losses), real.resources)
        counts, unread = count_classes(task, units, tools.executor)
        if unread:
            tools.report(f"generate: {unread} labels could not be read; their images count as unlabelled")
        counts = counts.among([key for key, row in zip(counts.keys, counts.pixels, strict=True) if row.any()])
        if not counts.keys or all(map(math.isnan, losses)):
            which = "held back from the judge" if counts.keys else "to paint from"
            raise UserError(f"{OPTION}: no training image {which} has a labelled pixel: leave it out")
        hardness = hardness_of(counts.pixels, losses).tolist()
        numbers = images_by_hardness(hardness, options.fewest, options.most, self._job.config.generate.variants)
        classes = zip(self._judge.taxonomy.classes, losses.tolist(), strict=True)
        facts: dict[str, JSON] = {
            "classes": {name: None if math.isnan(loss) else round(loss, 4) for name, loss in classes},
            "images": {str(number): count for number, count in sorted(Counter(numbers).items())},
        }
        with self.artifact().building(facts) as path:
            HardSources(counts.keys, hardness, numbers).save(path)

    def _class_losses(self, tools: Tools) -> NDArray[np.float64]:
        """The mean loss of each class on the training images held back from the judge."""
        from augment.filtering import LOSS_CAP, LossHistogram
        from pipeline.stages.loss_counts import CountLosses, OtherLabels

        real, judge = self._job.step(ShardStep), self._judge
        resources = self._job.config.cluster.resources("generate")
        source, ignored = StoreSource(real.url, ("image", "label")), judge.taxonomy.ignore_index
        task = CountLosses(
            source,
            partial(load_judge, str(judge.path), resources.device),
            len(judge.taxonomy),
            OtherLabels(source, (), ignored),
            resources,
            resources.batch_size,
            ignored,
            "generate",
        )
        units = training_units(judge.unseen(keys_by_shard(real.store)))
        tools.report(f"generate: measuring which classes are hard on {sum(len(unit.keys) for unit in units)} images")
        return LossHistogram.merged([right for _, (right, _) in tools.executor.map(task, units)]).means(LOSS_CAP)

    def remark(self) -> str:
        """The numbers and the hardest classes, in a line; empty if the number does not vary."""
        if self.options is None:
            return ""
        if not self.is_known():
            return f"generate: counted with as many shards for each source as {OPTION}.most={self.options.most} needs"
        record = self.artifact().record()
        assert record is not None
        return f"generate: {described(record.facts)}"

    def check_prepared(self) -> None:
        """Raise ArtifactMismatch if the existing numbers were made from other inputs."""
        if self.options is not None and self._is_readable():
            self.artifact().require_match("generate")

    def discard(self) -> None:
        """Remove the numbers."""
        discard(self._path)

    def marked(self, source: Source) -> Source:
        """The source, whose samples say how hard their label is; the source itself if the number does not vary."""
        return source if self.options is None else MarkedSource(source, self._path)


def described(facts: Mapping[str, JSON]) -> str:
    """How many training images have how many variants, and the hardest classes, in words."""
    images, classes = facts["images"], facts["classes"]
    assert isinstance(images, dict) and isinstance(classes, dict)
    known = {name: float(str(loss)) for name, loss in classes.items() if loss is not None}
    hardest = sorted(known, key=lambda name: (-known[name], name))[:_NAMED]
    numbers = ", ".join(f"{number} of {count}" for number, count in images.items())
    losses = ", ".join(f"{name} {known[name]:.2f}" for name in hardest)
    return f"variants of training images by hardness: {numbers} images; hardest classes (loss of the judge): {losses}"
