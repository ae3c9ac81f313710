"""generate: new images on the layouts of real ones, each with its source's annotations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from augment.conditioning import LAYOUT
from augment.errors import NotFinite, UserError
from augment.layouts.options import SHARES
from augment.layouts.region_ks import RegionKs, RegionStrengths
from augment.lumen.prompt_limit import FittedPrompt, PromptTooLong
from augment.lumen.sampling.options import SamplerOptions
from augment.prompts import Description, PromptOptions, expand
from pipeline.checks.prompts import require_prompts_fit, require_said, require_sources_fit
from pipeline.engine import Failed, Ok, Outcome, Resources, Source, Stage, WorkUnit
from pipeline.stages.adapt import AdaptStep, paired_source
from pipeline.stages.base_identity import SYNTHETIC, base_identity, base_revision
from pipeline.stages.caption import CaptionStep, caption_inputs
from pipeline.stages.conditioning import AUTO, ks_to_paint
from pipeline.stages.encode import class_names
from pipeline.stages.extract import ExtractStep
from pipeline.stages.generator import BASE_NAMES, require_base_exists, require_generator, sampler_inputs
from pipeline.stages.judge import JudgeStep
from pipeline.stages.layout_edits import EDIT_SURVEY, LayoutEdits
from pipeline.stages.paint_request import PaintRequest, Provenance
from pipeline.stages.probe import ProbeStep
from pipeline.stages.reading import split_of
from pipeline.stages.sampler_choice import SAMPLER_CHOICE, SamplerChoice
from pipeline.stages.shard import ShardStep
from pipeline.stages.source_images import SOURCE_CLASSES, SourceImages
from pipeline.stages.step import Size, Step, contents_of
from pipeline.stages.store_step import StorePlan, StoreStep
from pipeline.stages.tools import Tools
from pipeline.stages.variants_by_hardness import HARD_SOURCES
from pipeline.store import JSON, InvalidSample, Manifest, Sample, Store
from pipeline.workspace.artifact import Record
from pipeline.workspace.content import content_digest
from pipeline.workspace.model_files import label
from pipeline.workspace.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from augment.lumen.sampling.layout_sampler import LayoutSampler


class GenerateStep(StoreStep):
    """Writes the synthetic store, which may be extended by more ks and variants."""

    name = "generate"
    output = SYNTHETIC
    title = "the synthetic store"
    prepared = (SOURCE_CLASSES, HARD_SOURCES, EDIT_SURVEY, SAMPLER_CHOICE)
    lineage = ("synthetic",)
    input_names: ClassVar[Mapping[str, str]] = {
        **contents_of(ShardStep, ExtractStep, CaptionStep, AdaptStep, JudgeStep),
        **BASE_NAMES,
        "image_format": "shard.image_format",
        "sampler": "generator",
        "prompts": "generate.prompts",
        "sampling": "generate.sampling",
        "edit": "generate.edit",
        "k_by_class": "generate.k_by_class",
        "strength_by_class": "generate.strength_by_class",
        "k_by_judge": "generate.k_by_judge",
        "variants_by_hardness": "generate.variants_by_hardness",
    }

    @property
    def reads(self) -> Collection[str]:
        """See `Step.reads`; the curves and the judge only where they choose ks, or how many images there are."""
        chosen = ("probe",) if self.config.generate.ks == AUTO else ()
        judged = ("judge",) if self.config.generate.needs_judge else ()
        return ("shard", "extract", "caption", "adapt", *chosen, *judged)

    @classmethod
    def digest_in(cls, workspace: Workspace) -> JSON | None:
        """The fingerprint: curated shards follow the synthetic ones one by one, and not the store as a whole."""
        url = cls.url_in(workspace)
        return Store.open(url).manifest.fingerprint if Store.is_at(url) else None

    @property
    def ks(self) -> tuple[int, ...]:
        """The numbers of components or channels to paint with; those of `auto` change when `probe` is made again."""
        return ks_to_paint(self.job, self.job.step(ProbeStep).recommended_ks)

    @cached_property
    def sources(self) -> SourceImages:
        """The samples that images are generated from."""
        return SourceImages(self.job)

    @cached_property
    def edits(self) -> LayoutEdits:
        """What is done to their layouts and labels before."""
        return LayoutEdits(self.job)

    @cached_property
    def choice(self) -> SamplerChoice:
        """How images are sampled."""
        return SamplerChoice(self.job)

    def check_settings(self) -> None:
        """Check ks, prompts, sampling and edits against what is known of the images and their labels."""
        if self.config.generate.ks == AUTO:
            self.job.step(ProbeStep).require_classes()
        else:
            _ = self.ks
        size, fixed = self.resources.batch_size, self.config.generator.fixed_batch
        if fixed is not None and size % fixed:
            raise UserError(
                f"generator.fixed_batch={fixed}: cluster.stages.generate.batch_size is {size}, and the last images of "
                "each batch would be filled up: set it to a multiple of fixed_batch"
            )
        prompts = self.config.generate.prompts
        known = {**self.job.images.known_attributes(), **{name: values[0] for name, values in prompts.domains.items()}}
        for template in prompts.templates:
            expand(template, known, Description())
        require_said(prompts)
        self.sources.check_settings()
        self.edits.check_settings()

    def check_names(self) -> None:
        """Check that the base model exists."""
        require_base_exists(self.config)

    def check_models(self) -> None:
        """Check that the models fit, and that the text encoder takes the prompts."""
        require_generator(self.config)
        require_prompts_fit(self.config.generate.prompts, self.config.generator.base)

    def check(self, left: Sequence[Step]) -> list[str]:  # noqa: ARG002 - see `Step`
        """Check that the text encoder takes what the prompts say about each source."""
        prompts, base = self.config.generate.prompts, self.config.generator.base
        require_sources_fit(prompts, base, self.job.images.source_attributes(), self.config.error_budget)
        return []

    def size(self) -> Size:
        """Shards and samples; an upper bound before it is known which sources and ks are chosen."""
        return self.size_of(self.config.generate.splits)

    def size_of(self, splits: Sequence[str]) -> Size:
        """The same of these splits alone."""
        known = self.config.generate.ks != AUTO or self.job.step(ProbeStep).is_whole()
        count = len(self.ks) if known else len(SHARES)
        for_one = self.sources.to_paint(splits)
        return Size(count * for_one.units, count * for_one.samples)

    def remark(self) -> str:
        """Which ks `generate.ks=auto` takes, or how many, and what the judge decides."""
        lines = self._chosen_ks(), self.edits.judged.remark(), self.sources.by_hardness.remark()
        return "\n".join(line for line in lines if line)

    def _chosen_ks(self) -> str:
        if self.config.generate.ks != AUTO:
            return ""
        if not self.job.step(ProbeStep).is_whole():
            return f"generate: counted for {len(SHARES)} ks, the most that generate.ks=auto takes; probe finds them"
        return f"generate: generate.ks=auto takes {list(self.ks)}, by the curves in the workspace"

    def prepare(self, tools: Tools) -> None:
        """Count the classes of the sources, find what edits need, and choose how to sample, if that is not done."""
        self.sources.prepare(tools)
        if line := self.remark():
            tools.report(line)
        self.edits.prepare(tools)
        if self.config.generator.max_loss is not None:
            shards, splits = self.sources.keys(), self.config.generate.splits
            keys = [key for shard in sorted(shards) if split_of(shard) in splits for key in shards[shard]]
            stage, source = self.painting(self.config.generator, self.resources.batch_size)
            self.choice.prepare(tools, stage, source, keys, self.ks, self.size().samples)

    def check_prepared(self) -> None:
        """Check that existing class counts, what was found for edits, and how to sample, fit the sources."""
        self.sources.check_prepared()
        self.edits.check_prepared()
        self.choice.check_prepared()

    def require_resettable(self) -> None:
        """See `Step.require_resettable`; what was found for edits, and how to sample, is removed too."""
        super().require_resettable()
        self.edits.require_resettable()
        self.choice.require_resettable()

    def clean(self) -> None:
        """Remove the class counts, what was found for edits, and how to sample."""
        self.sources.discard()
        self.edits.discard()
        self.choice.discard()

    def plan(self) -> StorePlan:
        """One unit for each source shard, k and variant; ks and variants are not part of the store's identity."""
        options = self.config.generate
        real = self.job.step(ShardStep).store
        inputs: dict[str, JSON] = {
            "real": content_digest(real),
            "layouts": content_digest(self.job.step(ExtractStep).store),
            "adapter": self.job.step(AdaptStep).record.digest,
            "base": base_identity(self.job),
            "sampler": sampler_inputs(self.choice.options),
            "prompts": options.prompts.model_dump(mode="json"),
            "seed": self.config.seed,
            **caption_inputs(self.job),
            **self.sources.inputs(),
            **self.edits.inputs(),
        }
        size, image_format = self.job.images.working_size, self.config.shard.image_format
        manifest = Manifest("synthetic", real.manifest.taxonomy, size, inputs, image_format)
        ks = self.ks
        return StorePlan(manifest, self.sources.names(ks), lambda: self.sources.units(ks))

    def provenance(self, record: Record) -> Provenance:
        """Where the images come from, by the record of the adapter."""
        base, conditioning = label(self.config.generator.base), self.config.conditioning
        basis = str(record.facts["basis"]) if conditioning == LAYOUT else None
        return Provenance(base, record.digest, basis, conditioning, self.edits.judged.ks)

    def work(self) -> tuple[Stage, Source]:
        """The stage and its source."""
        return self.painting(self.choice.options, self.choice.batch_size)

    def painting(self, sampling: SamplerOptions, batch_size: int) -> tuple[Generate, Source]:
        """The stage and its source, with these options of the sampler and images at once."""
        record = self.job.step(AdaptStep).record
        stage = Generate(
            base=self.config.generator.base,
            adapter=str(self.job.step(AdaptStep).path),
            sampling=sampling,
            prompts=self.config.generate.prompts,
            seed=self.config.seed,
            provenance=self.provenance(record),
            classes=class_names(self.job),
            revision=base_revision(self.job),
            regions=self.edits.regions(),
            strengths=self.edits.strengths(),
            **{**self.for_model, "batch_size": batch_size},
        )
        return stage, self.sources.by_hardness.marked(self.edits.edited(paired_source(self.job, "label", "instances")))


@dataclass
class Generate:
    """Paints an image onto each layout at the unit's k, for the unit's variant.

    Attributes:
        base, adapter: models to load.
        sampling: see `LayoutSampler`.
        prompts: templates and values to choose from.
        seed: the run's seed.
        provenance: recorded with every sample.
        classes: names of the train ids, for captions of images without any other text.
        revision: commit of a base on a hub; None is its newest.
        regions: components of some classes in place of the unit's k.
        strengths: of control, of some classes.
    """

    base: str
    adapter: str
    sampling: SamplerOptions
    prompts: PromptOptions
    seed: int
    provenance: Provenance
    device: str
    resources: Resources
    batch_size: int
    classes: tuple[str, ...] = ()
    revision: str | None = None
    regions: RegionKs | None = None
    strengths: RegionStrengths | None = None
    name: str = "generate"
    _sampler: LayoutSampler | None = field(default=None, repr=False)

    def setup(self) -> None:
        """Load base model and adapter."""
        from augment.lumen.sampling.loading import load_sampler

        self._sampler = load_sampler(self.base, Path(self.adapter), self.sampling, self.device, self.revision)

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:
        """One image for each sample with layout and label; its annotations are passed on unchanged."""
        return self.begin(unit, batch)()

    def begin(self, unit: WorkUnit, batch: Sequence[Sample]) -> Callable[[], list[Outcome]]:
        """See `Pipelined`: a GPU works on the batch until its outcomes are waited for."""
        k, variant = int(str(unit.params["k"])), int(str(unit.params["variant"]))
        failed: list[Outcome] = []
        ready: list[tuple[PaintRequest, FittedPrompt]] = []
        for sample in batch:
            if sample.not_finite:
                failed.append(Failed(sample.key, f"not finite: {sample.not_finite}"))
                continue
            wanted = self.request(sample, k, variant)
            try:
                ready.append((wanted, self.sampler.base.prompt_limit.fit(wanted.prompt)))
            except PromptTooLong as error:
                failed.append(Failed(sample.key, f"prompt too long: {error}"))
        requests = [replace(wanted.request, prompt=fitted.text) for wanted, fitted in ready]
        with not_finite_is_invalid():
            images = self.sampler.begin(requests) if requests else list

        def outcomes() -> list[Outcome]:
            with not_finite_is_invalid():
                painted = zip(ready, images(), strict=True)
            return [*failed, *(self.outcome(*asked, image) for asked, image in painted)]

        return outcomes

    def outcome(self, wanted: PaintRequest, fitted: FittedPrompt, image: NDArray[np.uint8]) -> Outcome:
        """The outcome of a sample that was painted."""
        if (image == image[0, 0]).all():
            return Failed(wanted.sample.key, f"constant image: every pixel is {image[0, 0].tolist()}")
        return Ok(wanted.painted(image, fitted, self.provenance), self.notes(fitted))

    def request(self, sample: Sample, k: int, variant: int) -> PaintRequest:
        """What to paint for a sample."""
        given = self.prompts, self.classes, self.seed, self.regions, self.strengths
        return PaintRequest.of(sample, k, variant, *given)

    @property
    def sampler(self) -> LayoutSampler:
        """The model, which `setup` loads."""
        assert self._sampler is not None
        return self._sampler

    def notes(self, fitted: FittedPrompt) -> tuple[str, ...]:
        """What the summary should count about a prompt."""
        limit = self.sampler.base.prompt_limit
        shortened = f"prompt shortened to the {limit.length} tokens that the text encoder takes"
        spelled = "prompt with words that the tokenizer does not know and spells out"
        noted = {shortened: fitted.shortened, spelled: limit.spells(fitted.text)}
        return tuple(note for note, applies in noted.items() if applies)


@contextmanager
def not_finite_is_invalid() -> Iterator[None]:
    """Raise InvalidSample where the output of the model is not finite.

    The engine tries the samples again one by one, so that only the one at fault is quarantined.
    """
    try:
        yield
    except NotFinite as error:
        raise InvalidSample(f"not finite: {error}") from error
