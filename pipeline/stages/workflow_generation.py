"""The middle of the way: from neural layouts to synthetic images."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from augment.errors import UserError
from augment.lumen.options import REPORTING_KEYS
from pipeline.config import Config
from pipeline.engine import Source, Stage, WorkUnit
from pipeline.stages import fit, generate
from pipeline.stages.adapt import BASIS, TRAINING, Adapt
from pipeline.stages.class_counts import CountClasses
from pipeline.stages.image_selection import Countable, Sampler
from pipeline.stages.reading import CaptionedSource, PairedSource, Part, StoreSource, keys_by_shard, split_of
from pipeline.stages.steps import ArtifactStep, Size, Step, StorePlan, StoreStep, Tools, resources_of
from pipeline.stages.workflow_captions import Captions
from pipeline.stages.workflow_layouts import USED, Layouts
from pipeline.store import JSON, Manifest, Store, taxonomy_of
from pipeline.workspace.artifact import Artifact, Record, read_record
from pipeline.workspace.model_files import basis_digest, identity, label
from pipeline.workspace.workspace import Workspace, content_digest


@dataclass
class Generation:
    """Plans the stages adapt and generate of one run."""

    config: Config
    workspace: Workspace
    layouts: Layouts

    def steps(self) -> list[Step]:
        """The stages in order."""
        space = self.workspace
        return [
            ArtifactStep(
                "adapt",
                space.adapter,
                self.adapter,
                self.build_adapter,
                # An adapter that is used as it is depends on no image.
                reads=("fit", "extract", "caption") if self.config.adapt.steps else ("fit",),
            ),
            StoreStep(
                "generate",
                space.synthetic,
                self.plan_generate,
                self.generate_work,
                self.size,
                self.prepare,
                self.clean,
                reads=("shard", "extract", "caption", "adapt"),
                check_prepared=self.check_prepared,
            ),
        ]

    def check(self) -> None:
        """Look at what comes from outside, before anything is written.

        Raises:
            UserError: sources are to be sampled by class, and have no labels.
        """
        self.layouts.data.require_classes("generate", self.config.generate.sampling)

    def size(self) -> Size:
        """Shards and samples of the synthetic store; at most, before it is known which sources are sampled."""
        return self.size_of(self.config.generate.splits)

    def size_of(self, splits: Sequence[str]) -> Size:
        """The same of these splits alone, all of them generated."""
        settings = self.config.generate
        factor = len(settings.ks) * settings.variants
        if self.sampler is not None and Store.is_at(self.workspace.layouts) and self.sampler.is_ready():
            sources = [keys for shard, keys in self.sources().items() if split_of(shard) in splits]
            return Size(factor * len(sources), factor * sum(map(len, sources)))
        counts = {split: count for split, count in self.layouts.data.counts().items() if split in splits}
        if self.sampler is not None:
            classes = self.layouts.data.num_classes()
            counts = {split: self.sampler.expected(split, count, classes) for split, count in counts.items()}
        # What is chosen is packed anew, image by image of the store: tiles of one source may part.
        size, sampled = self.config.shard.samples_per_shard, self.sampler.settings.splits if self.sampler else ()
        shards = (
            -(-count // size) if split in sampled else self.layouts.data.shards_of(count)
            for split, count in counts.items()
        )
        return Size(factor * sum(shards), factor * sum(counts.values()))

    # sampling

    @cached_property
    def sampler(self) -> Sampler | None:
        """What chooses among the sources, where sampling is asked for."""
        settings = self.config.generate.sampling
        if settings is None:
            return None
        return Sampler(settings, "generate.sampling", self.workspace.source_classes, "generate", self.countable)

    def countable(self) -> Countable:
        """The labels of the real store's splits that are sampled."""
        assert self.sampler is not None
        real, splits = self.layouts.real, self.sampler.settings.splits
        inputs: dict[str, JSON] = {"real": content_digest(real), "splits": list(splits)}
        source = StoreSource(self.workspace.real, ("label",))
        task = CountClasses(source, self.layouts.data.num_classes(), resources_of(self.config, "shard").resources)

        def units() -> list[WorkUnit]:
            return [WorkUnit(name, keys) for name, keys in keys_by_shard(real).items() if split_of(name) in splits]

        return Countable(inputs, task, units)

    def prepare(self, tools: Tools) -> None:
        """Count the classes of the sources, where they are sampled by them and that is not done."""
        if self.sampler is not None:
            self.sampler.prepare(tools)

    def check_prepared(self) -> None:
        """Check that class counts that are there are of the sources there are."""
        if self.sampler is not None:
            self.sampler.check_prepared()

    def clean(self) -> None:
        """Remove what was prepared."""
        if self.sampler is not None:
            self.sampler.discard()

    def candidate_keys(self) -> dict[str, list[str]]:
        """The keys of each sampled split, as in the layout store."""
        assert self.sampler is not None
        shards = keys_by_shard(self.layouts.store)
        return {
            split: [key for shard in shards if split_of(shard) == split for key in shards[shard]]
            for split in self.sampler.settings.splits
        }

    def sources(self) -> dict[str, tuple[str, ...]]:
        """Keys to generate from, by shard: as in the layout store; what is chosen of sampled splits in full shards."""
        shards = keys_by_shard(self.layouts.store)
        if self.sampler is None:
            return shards
        sampled = self.sampler.settings.splits
        size = self.config.shard.samples_per_shard
        packed = {
            f"{split}-{start // size:06d}": tuple(chosen[start : start + size])
            for split, chosen in self.sampler.choose(self.candidate_keys()).items()
            for start in range(0, len(chosen), size)
        }
        return {**{shard: keys for shard, keys in shards.items() if split_of(shard) not in sampled}, **packed}

    @property
    def captions(self) -> Captions:
        """The captions of the run."""
        return Captions(self.config, self.workspace, self.layouts)

    def paired(self, *parts: Part) -> PairedSource | CaptionedSource:
        """Parts of the real samples with their layouts and captions."""
        real, layouts = StoreSource(self.workspace.real, parts), StoreSource(self.workspace.layouts, ("layout",))
        return self.captions.added_to(PairedSource(real, layouts))

    def classes(self) -> tuple[str, ...]:
        """Names of the train ids of the real store; none where it has no labels."""
        taxonomy = taxonomy_of(self.layouts.real.manifest)
        return taxonomy.classes if taxonomy else ()

    # adapt

    def adapter(self) -> Artifact:
        """The adapter to generate with."""
        start = self.layouts.start_adapter()
        inputs: dict[str, JSON] = {
            "start": identity(str(start)) if start else None,
            "basis": basis_digest(self.workspace.basis / USED),
            "steps": self.config.adapt.steps,
        }
        if self.config.adapt.steps:
            inputs |= {
                "base": identity(self.config.generator.base),
                "layouts": content_digest(self.layouts.store),
                "options": self.config.adapt.model_dump(exclude=REPORTING_KEYS),
                "precision": self.config.generator.precision,
                "seed": self.config.seed,
                **self.captions.inputs(),
            }
        return Artifact(self.workspace.adapter, "adapter", inputs, essence=("*.safetensors",))

    def build_adapter(self, folder: Path, tools: Tools, facts: dict[str, JSON]) -> str:
        """Train the adapter, or copy it where there are no steps to take."""
        start, used = self.layouts.start_adapter(), self.workspace.basis / USED
        facts["basis"] = basis_digest(used)
        if self.config.adapt.steps == 0:
            assert start is not None
            shutil.copytree(start, folder, dirs_exist_ok=True)
            shutil.copytree(used, folder / BASIS, dirs_exist_ok=True)
            return "used as it is"
        options = self.config.adapt
        task = Adapt(
            base=self.config.generator.base,
            adapter=str(start) if start else None,
            basis=str(used),
            num_components=self.config.layout.k_max,
            source=self.paired("image", "label"),
            options=options,
            precision=self.config.generator.precision,
            seed=self.config.seed,
            folder=str(folder),
            classes=self.classes(),
            **resources_of(self.config, "adapt").of_task,
        )
        keys = tuple(key for unit in fit.plan(keys_by_shard(self.layouts.store)) for key in unit.keys)
        tools.report(f"adapt: {options.steps} steps on {len(keys)} images; losses and samples in {folder / TRAINING}")
        tools.train(task, {"": WorkUnit("adapter-000000", keys)})
        return f"{options.steps} steps on {len(keys)} images"

    # generate

    def plan_generate(self) -> StorePlan:
        """The synthetic store; ks and variants are no part of its identity, so that it may be extended."""
        generator, settings = self.config.generator, self.config.generate
        inputs: dict[str, JSON] = {
            "real": content_digest(self.layouts.real),
            "layouts": content_digest(self.layouts.store),
            "adapter": adapter_record(self.workspace).digest,
            "base": identity(generator.base),
            "sampler": {
                "num_steps": generator.num_steps,
                "guidance_scale": generator.guidance_scale,
                "precision": generator.precision,
            },
            "prompts": settings.prompts.model_dump(mode="json"),
            "seed": self.config.seed,
            **self.captions.inputs(),
            **({"sampling": self.sampler.inputs(self.candidate_keys())} if self.sampler else {}),
        }
        manifest = Manifest(
            "synthetic",
            self.layouts.real.manifest.taxonomy,
            self.layouts.data.geometry,
            inputs,
            self.config.shard.image_format,
        )
        choice = settings.splits, settings.ks, settings.variants
        sources = sorted(self.layouts.store.done() if self.sampler is None else self.sources())
        names = [name for name, *_ in generate.shard_names(sources, *choice)]
        return StorePlan(manifest, names, lambda: generate.plan(self.sources(), *choice))

    def generate_work(self) -> tuple[Stage, Source]:
        """Stage and source of generate."""
        generator, prompts = self.config.generator, self.config.generate.prompts
        record = adapter_record(self.workspace)
        stage = generate.Generate(
            base=generator.base,
            adapter=str(self.workspace.adapter),
            num_steps=generator.num_steps,
            guidance_scale=generator.guidance_scale,
            precision=generator.precision,
            templates=prompts.templates,
            domains=prompts.domains,
            negative_prompt=prompts.negative,
            seed=self.config.seed,
            provenance=generate.Provenance(label(generator.base), record.digest, str(record.facts["basis"])),
            classes=self.classes(),
            **resources_of(self.config, "generate").of_model,
        )
        return stage, self.paired("label", "instances")


def adapter_record(workspace: Workspace) -> Record:
    """Record of the run's adapter, which must be there."""
    record = read_record(workspace.adapter)
    if record is None:
        raise UserError(f"{workspace.adapter} holds no adapter: run the stages up to adapt first")
    return record
