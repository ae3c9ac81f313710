"""curate: synthetic labels that the judge does not believe are ignored, or the image is dropped."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from augment.errors import UserError
from pipeline.datasets import TRAIN_SPLIT
from pipeline.engine import (
    Plan,
    Source,
    Stage,
    WorkUnit,
    top_reasons,
)
from pipeline.stages.adapt import paired_source
from pipeline.stages.curation_trial import Trial, facts_of, trial_lines, trial_units
from pipeline.stages.fit import training_units
from pipeline.stages.generate import GenerateStep
from pipeline.stages.judge import JudgeStep, load_judge, require_labels
from pipeline.stages.judging import SCALE, Curate, KeepAll
from pipeline.stages.loss_counts import CountLosses, OtherLabels, PixelJudge
from pipeline.stages.reading import StoreSource, keys_by_shard
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Size, Step, contents_of
from pipeline.stages.store_step import StorePlan, StoreStep
from pipeline.stages.tools import Tools
from pipeline.store import JSON, Manifest
from pipeline.workspace.artifact import Artifact, discard, require_own
from pipeline.workspace.content import content_digest
from pipeline.workspace.mismatch import content_of

# The artifact with the loss scale.
SCALE_FOLDER = "scale"
# In its record: the digest of the synthetic images at its trial.
TRIED_ON = "tried_on"


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
        "held_back": "judge.held_back",
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
        """The usual loss of the judge for each class on real training images that it never saw."""
        options = self.config.curate
        inputs: dict[str, JSON] = {
            "judge": self.judge.record.digest,
            "real": content_digest(self.job.step(ShardStep).store),
            "quantile": options.quantile,
            "tolerance": options.tolerance,
            **({"held_back": share} if (share := self.config.judge.held_back) else {}),
        }
        path = self.workspace.artifact(SCALE_FOLDER)
        return Artifact(path, "loss-scale", inputs, input_names=self.input_names)

    def check_prepared(self) -> None:
        """Check that an existing loss scale was fitted with these options."""
        self.scale().require_match(self.name)

    def prepare(self, tools: Tools) -> None:
        """Fit the loss scale on the images held back from the judge, and try it, if the judge is fit.

        Neither is repeated; but where there are more synthetic images than at the trial, its part on them is.
        """
        if line := self.remark():
            tools.report(line)
            return
        self.check_prepared()
        if self.scale().is_done():
            self._try_again(tools)
            return
        from augment.filtering import LossHistogram, LossScale

        real, taxonomy, options = self.job.step(ShardStep), self.judge.taxonomy, self.config.curate
        task = CountLosses(
            StoreSource(real.url, ("image", "label")),
            self._load_judge(),
            len(taxonomy),
            self._others(),
            **self.for_stage,
            ignore_index=taxonomy.ignore_index,
        )
        units = training_units(self.judge.unseen(keys_by_shard(real.store)))
        counts = [part for _, part in tools.executor.map(task, units)]
        right, wrong = (LossHistogram.merged(parts) for parts in zip(*counts, strict=True))
        scale = LossScale.fit(right, taxonomy.classes, options, wrong)
        facts: dict[str, JSON] = {"finds": dict(zip(scale.classes, scale.finds, strict=True))}
        with self.scale().building(facts) as folder:
            scale.save(folder / SCALE)
            trial_task, units = self._trial(folder)
            found = [part for _, part in tools.executor.map(trial_task, units)] if units else []
            facts["trial"] = trial = facts_of(found)
            facts[TRIED_ON] = content_digest(self.job.step(GenerateStep).store)
        for line in trial_lines(trial, scale.blind):
            tools.report(line)

    def _try_again(self, tools: Tools) -> None:
        """Repeat the part of the trial that depends on the synthetic images, if there are others than before."""
        record, tried_on = self.scale().record(), content_digest(self.job.step(GenerateStep).store)
        assert record is not None
        before = record.facts.get("trial")
        if record.facts.get(TRIED_ON) == tried_on or not isinstance(before, dict):
            return
        task, units = self._trial(self.scale().path)
        # What is painted without a layout is the same as before.
        units = [unit for unit in units if "k" not in unit.params]
        found = [part for _, part in tools.executor.map(task, units)] if units else []
        trial = {**before, **facts_of(found)}
        self.scale().note({**record.facts, "trial": trial, TRIED_ON: tried_on})
        for line in trial_lines(trial, ()):
            tools.report(line)

    def _trial(self, scale: Path) -> tuple[Trial, list[WorkUnit]]:
        """The curation's own trial with a loss scale, and its units."""
        generate = self.job.step(GenerateStep)
        # Compilation would take longer than the few images.
        sampling = generate.choice.options.model_copy(update={"compile": None})
        painter, _ = generate.painting(sampling, generate.choice.batch_size)
        # No class keeps its components, so that nothing of the layout is left.
        painter = replace(painter, regions=None, strengths=None)
        synthetic = StoreSource(generate.url, ("image", "label"))
        layouts = paired_source(self.job, "label")
        task = Trial(self._curate(str(scale)), synthetic, painter, layouts, **self.for_stage)
        index = generate.store.index()
        rows = zip(*(index[name].to_pylist() for name in ("key", "shard", "source_key")), strict=True)
        sources = {key: source for key, shard, source in rows if is_training_shard(shard)}
        # A model that paints on a GPU may not run, or take hours, in workers without one.
        paints = self.resources.device == generate.resources.device
        return task, trial_units(sources, sorted(set(sources.values())) if paints else [])

    def _others(self) -> OtherLabels:
        real = self.job.step(ShardStep)
        shards = self.judge.unseen(keys_by_shard(real.store))
        keys = [key for unit in training_units(shards) for key in unit.keys]
        return OtherLabels.of(real.url, keys, self.judge.taxonomy.ignore_index)

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
            "options": self.config.curate.semantic,
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
        return self._curate(str(self.workspace.artifact(SCALE_FOLDER))), source

    def _curate(self, scale: str) -> Curate:
        options = self.config.curate
        return Curate(
            self._load_judge(),
            scale,
            options.min_reliable,
            self._others() if options.better_than else None,
            options.better_than,
            **self.for_stage,
            ignore_index=self.judge.taxonomy.ignore_index,
        )

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
            f"curate.min_reliable={options.min_reliable:g} of the labelled pixels, or if its label does not fit it "
            f"better than curate.better_than={options.better_than:g} of the labels of other images: give lower ones, "
            f"or a higher curate.tolerance than {options.tolerance:g}, with {command} --redo curate; or train the "
            "judge for longer "
            f"than judge.iterations={self.config.judge.iterations}, with --redo judge; or remove the mixes with "
            "synthetic data from downstream.mixes"
        )


def is_training_shard(shard: str) -> bool:
    """Whether a shard of the synthetic store is made from training images."""
    return shard.startswith(f"{TRAIN_SPLIT}-k")


def curation_units(shards: Mapping[str, tuple[str, ...]]) -> Plan:
    """One unit for each synthetic shard of the training split: held-out data is for evaluation, as it is."""
    return Plan.of(WorkUnit(name, keys) for name, keys in shards.items() if is_training_shard(name))
