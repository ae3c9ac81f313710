"""What a run does by class before it paints: edits with the survey that they need, ks and strengths, and checks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import TypeVar

from augment.errors import UserError
from augment.layouts.region_ks import RegionKs, RegionStrengths
from augment.suggestion import suggest
from pipeline.datasets import TRAIN_SPLIT
from pipeline.engine import WorkUnit
from pipeline.stages.edit_options import EditOptions
from pipeline.stages.edit_survey import Donors, Survey, SurveyScenes
from pipeline.stages.editing import EditedSource
from pipeline.stages.extract import ExtractStep
from pipeline.stages.job import Job
from pipeline.stages.judged_ks import OPTION, JudgedKs
from pipeline.stages.reading import CaptionedSource, PairedSource, StoreSource, keys_by_shard, split_of
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import contents_of
from pipeline.stages.tools import Tools
from pipeline.store import JSON
from pipeline.taxonomies import Taxonomy
from pipeline.workspace.artifact import Artifact, discard, require_own
from pipeline.workspace.content import content_digest

EDIT_SURVEY = "edits"

Value = TypeVar("Value")


class LayoutEdits:
    """The edits, and the ks and strengths by class, that the configuration asks for."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @property
    def options(self) -> EditOptions | None:
        """What to do."""
        return self._job.config.generate.edit

    @property
    def _ks(self) -> Mapping[str, int]:
        return self._job.config.generate.k_by_class

    @property
    def _strengths(self) -> Mapping[str, float]:
        """Without factors of 1, which change nothing."""
        given = self._job.config.generate.strength_by_class
        return {name: factor for name, factor in given.items() if factor != 1}

    @cached_property
    def judged(self) -> JudgedKs:
        """The ks of other classes, which follow from the judge."""
        return JudgedKs(self._job)

    @cached_property
    def _taxonomy(self) -> Taxonomy:
        taxonomy = self._job.images.taxonomy
        assert taxonomy is not None
        return taxonomy

    def check_settings(self) -> None:
        """Check that the classes are those of the dataset, and that there are labels to go by.

        Raises:
            UserError: a class is unknown, or there are no labels.
        """
        options = self._job.config.generate
        for name in ("k_by_class", "strength_by_class"):
            if asked := getattr(options, name):
                require_labelled_classes(self._job, f"generate.{name}", options.splits, asked)
        if self.judged.below is not None:
            require_labelled_classes(self._job, OPTION, options.splits, ())
        if self.options is None:
            return
        require_labelled_classes(self._job, "generate.edit", self.options.splits, ())
        if self.options.needs_prototypes:
            require_labelled_classes(self._job, "generate.edit with class means", (TRAIN_SPLIT,), ())
        for section, names in self.options.named_classes.items():
            require_labelled_classes(self._job, f"generate.edit.{section}.classes", (), names)

    def artifact(self) -> Artifact:
        """The objects of each split, and the class means of the training split."""
        assert self.options is not None
        paste, splits = self.options.paste, self.options.splits
        inputs: dict[str, JSON] = {
            "real": content_digest(self._job.step(ShardStep).store),
            "layouts": content_digest(self._job.step(ExtractStep).store),
            "splits": list(splits),
            # A survey for other classes has not checked that these occur.
            "classes": {section: list(names) for section, names in self.options.named_classes.items()},
            "paste": paste.model_dump(mode="json", include={"min_area", "cover"}) if paste else None,
            "prototypes": self.options.needs_prototypes,
        }
        names = {
            **contents_of(ShardStep, ExtractStep),
            "splits": "generate.edit.splits",
            "classes": "generate.edit",
            "paste": "generate.edit.paste",
        }
        return Artifact(self._job.workspace.artifact(EDIT_SURVEY), "edits", inputs, input_names=names)

    def prepare(self, tools: Tools) -> None:
        """Find objects and class means, if that is not done.

        Raises:
            UserError: a class that an edit names never occurs.
        """
        if self.options is None or self.artifact().is_done():
            return
        self.check_prepared()
        real, layouts = self._job.step(ShardStep), self._job.step(ExtractStep)
        pairs = PairedSource(StoreSource(real.url, ("label", "instances")), StoreSource(layouts.url, ("layout",)))
        classes, ignored = self._taxonomy.classes, self._taxonomy.ignore_index
        task = SurveyScenes(pairs, self.options, classes, ignored, real.resources)
        wanted = {*self.options.splits, *((TRAIN_SPLIT,) if self.options.needs_prototypes else ())}
        shards = keys_by_shard(layouts.store)
        units = [WorkUnit(name, keys) for name, keys in shards.items() if split_of(name) in wanted]
        tools.report(f"generate: finding what edits need in {sum(len(unit.keys) for unit in units)} layouts")
        found = {unit.shard: part for unit, part in tools.executor.map(task, units)}
        survey = Survey.merged([found[unit.shard] for unit in units])
        survey.require_useful(self.options, classes)
        with self.artifact().building() as folder:
            survey.save(folder)

    def check_prepared(self) -> None:
        """Raise ArtifactMismatch if the existing survey was made from other images or for other edits."""
        if self.options is not None:
            self.artifact().require_match("generate")

    def require_resettable(self) -> None:
        """Raise UserError if a folder that is no survey is in its place."""
        require_own(self._job.workspace.artifact(EDIT_SURVEY))

    def discard(self) -> None:
        """Remove the survey."""
        discard(self._job.workspace.artifact(EDIT_SURVEY))

    def inputs(self) -> dict[str, JSON]:
        """What edits, ks and strengths by class add to the inputs of the synthetic store; nothing if there are none."""
        inputs: dict[str, JSON] = {}
        if self.options is not None:
            inputs["edit"] = self.options.model_dump(mode="json", exclude_none=True)
        if self._ks:
            inputs["k_by_class"] = dict(self._ks)
        if self._strengths:
            inputs["strength_by_class"] = dict(self._strengths)
        return {**inputs, **self.judged.inputs}

    def regions(self) -> RegionKs | None:
        """The components of some classes; None if all follow the k of the image."""
        ks = {**self.judged.ks, **self._ks}
        if not ks:
            return None
        return RegionKs(self._by_train_id(ks), self._taxonomy.ignore_index)

    def strengths(self) -> RegionStrengths | None:
        """The strengths of control of some classes; None if all have that of the image."""
        if not self._strengths:
            return None
        return RegionStrengths(self._by_train_id(self._strengths), self._taxonomy.ignore_index)

    def _by_train_id(self, values: Mapping[str, Value]) -> dict[int, Value]:
        return {self._taxonomy.classes.index(name): value for name, value in values.items()}

    def edited(self, source: PairedSource | CaptionedSource) -> PairedSource | CaptionedSource | EditedSource:
        """The source with its samples edited; the source itself if there are no edits."""
        if self.options is None:
            return source
        folder = self._job.workspace.artifact(EDIT_SURVEY)
        taxonomy = self._taxonomy
        return EditedSource(
            source, Donors(folder), self.options, taxonomy.classes, taxonomy.ignore_index, self._job.config.seed
        )


def require_labelled_classes(job: Job, section: str, splits: Collection[str], names: Collection[str]) -> None:
    """Check that the dataset has labels, among them some of these splits, and these classes.

    Raises:
        UserError: it has not.
    """
    taxonomy = job.images.taxonomy
    if taxonomy is None:
        raise UserError(f"{section} goes by the labels of the images, and the dataset has none: leave it out")
    if unknown := [name for name in names if name not in taxonomy.classes]:
        hint = suggest(unknown[0], taxonomy.classes, "the classes are")
        raise UserError(f"{section}: {unknown[0]!r} is not among the classes of {taxonomy.name}: {hint}")
    if job.images.is_rendered or not splits:
        return
    images = [record for split in splits for record in job.images.candidates[split]]
    if all(record.label is None for record in images):
        raise UserError(
            f"{section} needs labels, and none of the {len(images)} images of {' and '.join(splits)} has one"
        )
