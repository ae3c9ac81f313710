"""adapt: the layout adapter is trained on the dataset's own images and layouts."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from augment.conditioning.record import saved_conditioning
from augment.errors import UserError
from augment.lumen.options import require_optimizer
from augment.trackers import require_trackers
from pipeline.checks.hub import require_reachable
from pipeline.checks.models import CONTROLNET, require_controlnet
from pipeline.checks.resources import require_whole_gpus
from pipeline.datasets.thinning import thinned
from pipeline.engine import WorkUnit, workers_together
from pipeline.stages.adapt_progress import TRAINING, checkpoints_of, remote_checkpoints, where_it_resumes
from pipeline.stages.adapt_task import Adapt
from pipeline.stages.adapter_inputs import adapter_inputs, controlnet_identity, record_controlnet, used_basis
from pipeline.stages.artifact_step import ArtifactStep
from pipeline.stages.base_identity import ADAPTER, base_revision
from pipeline.stages.caption import CaptionStep, with_captions
from pipeline.stages.conditioning import (
    CONDITIONING_NAMES,
    conditioning_channels,
    expected_facts,
    is_layout,
    load_other,
    require_conditioning,
    require_same,
)
from pipeline.stages.encode import EncodeStep, class_names, is_augmented, latents_inputs
from pipeline.stages.extract import ExtractStep, maps_inputs
from pipeline.stages.fit import FitStep, training_units
from pipeline.stages.generator import BASE_NAMES, BASIS, require_base_exists, require_generator, start_adapter
from pipeline.stages.job import Job
from pipeline.stages.reading import CaptionedSource, PairedSource, Part, StoreSource, keys_by_shard, split_of
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Step, contents_of
from pipeline.stages.tools import Tools
from pipeline.store import JSON
from pipeline.store.location import Location
from pipeline.workspace.artifact import Record, read_record
from pipeline.workspace.mismatch import content_of
from pipeline.workspace.model_files import basis_digest, pinned_revision


class AdaptStep(ArtifactStep):
    """Makes the adapter that images are generated with, its basis or the record of its conditioning inside."""

    name = "adapt"
    output = "adapter"
    title = "the adapter"
    kind = ADAPTER
    essence = ("*.safetensors",)
    lineage = ("adapter",)
    trains = True
    input_names: ClassVar[Mapping[str, str]] = {
        **contents_of(FitStep, ExtractStep, CaptionStep, EncodeStep),
        **BASE_NAMES,
        "start": "generator.adapter",
        "start.name": "generator.adapter",
        "start.digest": content_of("the files of generator.adapter"),
        "steps": "adapt.steps",
        "options": "adapt",
        "controlnet": "adapt.controlnet",
        "controlnet.name": "adapt.controlnet",
        "controlnet.digest": content_of("the files of adapt.controlnet"),
        "controlnet.revision": "the revision of adapt.controlnet",
        "precision": "generator.precision",
        **CONDITIONING_NAMES,
    }

    @property
    def reads(self) -> Collection[str]:
        """See `Step.reads`; latents without versions say nothing new, so other inputs are refused before `encode`."""
        if not self.config.adapt.steps:
            return ("fit",)
        return ("fit", "extract", "caption", *(("encode",) if is_augmented(self.config.adapt) else ()))

    @property
    def record(self) -> Record:
        """The record of the adapter, which must exist."""
        record = read_record(self.path)
        if record is None:
            raise UserError(f"{self.path} holds no adapter: run the stages up to adapt first")
        return record

    def check_settings(self) -> None:
        """Check that the adapter to start from reads the conditioning, that packages are installed, and whole GPUs."""
        start_adapter(self.config)
        if self.config.adapt.steps:
            require_whole_gpus(self.config, self.name, self.parts())
            require_optimizer(self.config.adapt.optimizer)
            require_trackers(self.config.adapt.trackers)
        if self.config.adapt.objective.consistency and not is_layout(self.config):
            raise UserError(
                f"adapt.objective.consistency compares neural layouts, and conditioning={self.config.conditioning} has "
                "none: set it to 0"
            )

    def check(self, left: Sequence[Step]) -> list[str]:
        """Check that there are latents or will be, and remark on unused views and on a warm-up that does not end."""
        encode, names = self.job.step(EncodeStep), {step.name for step in left}
        if self.config.adapt.steps and self.name in names and encode.name not in names and not encode.is_whole():
            raise UserError("--only adapt: stage encode before it is not done; use --until")
        views, options, remarks = self.config.layout.views, self.config.adapt, []
        if views and not (options.steps and options.view_share):
            key = "adapt.view_share" if options.steps else "adapt.steps"
            remarks.append(f"layout.views={views}: nothing uses these layouts, as {key} is 0")
        if 0 < options.steps <= options.warmup_steps and self.name in names:
            warmup = f"adapt.warmup_steps={options.warmup_steps}"
            remarks.append(f"adapt.steps={options.steps}: the rate never reaches its peak, as {warmup}: lower that")
        return remarks

    def check_names(self) -> None:
        """Check that the base model exists, and the ControlNet to start from."""
        require_base_exists(self.config)
        if name := self.config.adapt.controlnet:
            require_reachable(CONTROLNET, name, "config.json", ())

    def check_models(self) -> None:
        """Check that the base model can be used, and that the model to start from fits it and the conditioning."""
        require_generator(self.config, base_revision(self.job))
        if self.config.adapt.controlnet:
            require_controlnet(self.config.adapt.controlnet, self.config.generator.base, base_revision(self.job))
        require_conditioning(self.job)
        if (start := start_adapter(self.config)) and not is_layout(self.config):
            require_same(saved_conditioning(start), expected_facts(self.job), start)

    def inputs(self) -> Mapping[str, JSON]:
        """What the adapter depends on."""
        return adapter_inputs(self.job) | (latents_inputs(self.job) if self.config.adapt.steps else {})

    def parts(self) -> int:
        """The most workers that may train the adapter together."""
        options = self.config.adapt
        return workers_together(self.resources, options.batch_size) if options.steps else 1

    def clean(self) -> None:
        """Remove the checkpoints of interrupted trainings."""
        if url := remote_checkpoints(self.config):
            Location(url).remove_tree()

    def build(self, path: Path, tools: Tools, facts: dict[str, JSON]) -> str:
        """Train the adapter, or copy it if there are no steps to train."""
        start, used, options = start_adapter(self.config), used_basis(self.job), self.config.adapt
        facts |= {"basis": basis_digest(used)} if used else {"conditioning": self.config.conditioning}
        if options.steps == 0:
            assert start is not None
            shutil.copytree(start, path, dirs_exist_ok=True)
            if used:
                shutil.copytree(used, path / BASIS, dirs_exist_ok=True)
            return "used as it is"
        controlnet = controlnet_identity(self.job, options.controlnet) if options.controlnet else {}
        if controlnet:
            record_controlnet(path, controlnet)
        task = Adapt(
            base=self.config.generator.base,
            revision=base_revision(self.job),
            controlnet_revision=pinned_revision(controlnet),
            adapter=str(start) if start else None,
            basis=str(used) if used else None,
            num_components=conditioning_channels(self.job),
            latents=self.job.step(EncodeStep).url,
            layouts=self.job.step(ExtractStep).url,
            views=self.config.layout.views if options.view_share else 0,
            images=paired_source(self.job, "image", "label"),
            options=options,
            precision=self.config.generator.training_precision,
            seed=self.config.seed,
            folder=str(path),
            checkpoints=checkpoints_of(self.config, path),
            classes=class_names(self.job),
            conditioning=self.config.conditioning,
            load_conditioning=None if used else load_other(self.job, maps_inputs(self.job)),
            backbone=self.config.backbone.reference,
            **self.for_training,
        )
        shards = keys_by_shard(self.job.step(ExtractStep).store)
        encoded = {key for found in keys_by_shard(self.job.step(EncodeStep).store).values() for key in found}
        keys = tuple(key for unit in training_units(shards) for key in unit.keys if key in encoded)
        if not keys:
            raise UserError(
                "adapt: no training image is left, as all failed in the stages before: see why with lumen quarantine"
            )
        task = replace(task, held_out=self.held_out_keys(shards))
        facts["images"] = len(keys)
        tools.report(f"adapt: {options.steps} steps on {len(keys)} images; losses and samples in {path / TRAINING}")
        if resumes := where_it_resumes(self.config, path):
            tools.report(resumes)
        tools.train(task, {"": WorkUnit("adapter-000000", keys)})
        return f"{options.steps} steps on {len(keys)} images"

    def held_out_keys(self, shards: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        """Keys of the images for the validation loss, spread evenly over the split of `evaluate.split`."""
        count, split = self.config.adapt.validation_images, self.config.evaluate.split
        keys = [key for name, found in shards.items() if split_of(name) == split for key in found]
        return tuple(thinned(keys, count)) if count else ()


def paired_source(job: Job, *parts: Part) -> PairedSource | CaptionedSource:
    """Parts of the real samples with their layouts, and captions."""
    layouts = StoreSource(job.step(ExtractStep).url, ("layout",))
    return with_captions(job, PairedSource(StoreSource(job.step(ShardStep).url, parts), layouts))
