"""generate: new images on the layouts of real ones, each with its source's annotations."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from augment.conditioning import LAYOUT
from augment.errors import UserError
from augment.layouts.options import SHARES
from augment.lumen.sampling.options import SamplerOptions
from augment.prompts import Description, expand
from pipeline.checks.prompts import require_prompts_fit, require_said, require_sources_fit
from pipeline.engine import Source, Stage
from pipeline.stages.adapt import AdaptStep, paired_source
from pipeline.stages.base_identity import SYNTHETIC, base_identity, base_revision
from pipeline.stages.caption import CaptionStep, caption_inputs
from pipeline.stages.conditioning import AUTO, ks_to_paint
from pipeline.stages.encode import class_names
from pipeline.stages.extract import ExtractStep
from pipeline.stages.generator import BASE_NAMES, require_base_exists, require_generator, sampler_inputs
from pipeline.stages.judge import JudgeStep
from pipeline.stages.layout_edits import EDIT_SURVEY, LayoutEdits
from pipeline.stages.paint_request import Provenance
from pipeline.stages.painting import Generate
from pipeline.stages.probe import ProbeStep
from pipeline.stages.reading import split_of
from pipeline.stages.sampler_choice import SAMPLER_CHOICE, SamplerChoice
from pipeline.stages.shard import ShardStep
from pipeline.stages.source_images import SOURCE_CLASSES, SourceImages
from pipeline.stages.step import Size, Step, contents_of
from pipeline.stages.store_step import StorePlan, StoreStep
from pipeline.stages.tools import Tools
from pipeline.stages.variants_by_hardness import HARD_SOURCES
from pipeline.store import JSON, Manifest, Store
from pipeline.workspace.artifact import Record
from pipeline.workspace.content import content_digest
from pipeline.workspace.model_files import label
from pipeline.workspace.workspace import Workspace


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
        "guidance_scales": "generate.guidance_scales",
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
        require_generator(self.config, base_revision(self.job))
        require_prompts_fit(self.config.generate.prompts, self.config.generator.base, base_revision(self.job))

    def check(self, left: Sequence[Step]) -> list[str]:  # noqa: ARG002 - see `Step`
        """Check that the text encoder takes what the prompts say about each source."""
        prompts, base, sources = self.config.generate.prompts, self.config.generator.base, self.job.images
        budget, revision = self.config.error_budget, base_revision(self.job)
        require_sources_fit(prompts, base, sources.source_attributes(), budget, revision)
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
            **({"guidance_scales": list(options.guidance_scales)} if options.guidance_scales else {}),
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
            guidance_scales=self.config.generate.guidance_scales or (),
            **{**self.for_model, "batch_size": batch_size},
        )
        return stage, self.sources.by_hardness.marked(self.edits.edited(paired_source(self.job, "label", "instances")))
