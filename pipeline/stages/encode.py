"""encode: what the adapter is trained on, made once: latents of the training images, and embeddings of captions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from augment.layouts.views import view_layouts
from augment.lumen.options import AdaptOptions
from augment.lumen.training.versions import WHOLE, version_names, version_of
from augment.prompts import Prompt
from pipeline.datasets import TRAIN_SPLIT
from pipeline.engine import Failed, Ok, Outcome, Plan, Resources, Source, Stage, WorkUnit
from pipeline.engine.task import SOURCE_KEY
from pipeline.stages.adapter_inputs import adapter_inputs
from pipeline.stages.base_identity import ADAPTER, base_identity, base_revision
from pipeline.stages.caption import CaptionStep, caption_inputs, with_captions
from pipeline.stages.conditioning import CONDITIONING_NAMES, LoadConditioning, is_layout
from pipeline.stages.encoded_samples import CAPTION, require_distinct_keys, training_caption, version_key
from pipeline.stages.extract import ExtractStep, conditioning_content, load_conditioning
from pipeline.stages.fit import FitStep
from pipeline.stages.generator import BASE_NAMES, require_base_exists, require_generator
from pipeline.stages.job import Job
from pipeline.stages.reading import StoreSource, keys_by_shard, split_of
from pipeline.stages.seeds import stable_seed
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Size, contents_of
from pipeline.stages.store_step import StorePlan, StoreStep
from pipeline.store import JSON, InvalidSample, Manifest, Sample, Store, fingerprint, taxonomy_of
from pipeline.store.manifest import LATENTS
from pipeline.workspace.artifact import read_record
from pipeline.workspace.content import content_digest
from pipeline.workspace.mismatch import content_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from augment.conditioning import Conditioning
    from augment.lumen.bases.base import DiffusionModel
    from augment.lumen.prompt_limit import FittedPrompt
    from pipeline.config import Config


class EncodeStep(StoreStep):
    """Writes the store of latents: the training shards of the real store once more, in one or more versions."""

    name = "encode"
    output = LATENTS
    title = "the store of latents"
    lineage = (LATENTS,)
    input_names: ClassVar[Mapping[str, str]] = {
        **contents_of(ShardStep, CaptionStep, FitStep),
        **BASE_NAMES,
        "backbone.digest": content_of("the files of backbone.name"),
        "k_max": "layout.k_max",
        "precision": "generator.precision",
        "flip": "adapt.flip",
        "crops": "adapt.crops",
        "smallest_crop": "adapt.smallest_crop",
        "views": "adapt.view_share",
        **CONDITIONING_NAMES,
    }

    @classmethod
    def left_out(cls, config: Config) -> str:
        """See `Step.left_out`."""
        return "" if config.adapt.steps else "adapt.steps is 0; give steps to train the adapter"

    @property
    def reads(self) -> Collection[str]:
        """Other versions than the images themselves have layouts of their own."""
        return ("shard", "caption", "fit") if is_augmented(self.config.adapt) else ("shard", "caption")

    def check_settings(self) -> None:
        """Check that the versions of the training images have keys of their own."""
        images = self.job.images
        if is_augmented(self.config.adapt) and not images.is_rendered:
            keys = [made for key in images.candidate_keys()[TRAIN_SPLIT] for made in images.geometry.keys(key)]
            require_distinct_keys(keys, version_names(self.config.adapt))

    def check_names(self) -> None:
        """Check that the base model exists."""
        require_base_exists(self.config)

    def check_models(self) -> None:
        """Check that the base model can be used."""
        require_generator(self.config, base_revision(self.job))

    def is_done(self) -> bool:
        """See `Step.is_done`; nothing is left to do either where the adapter is there, the one reader of the store."""
        if super().is_done():
            return True
        return not is_augmented(self.config.adapt) and not Store.is_at(self.url) and self._adapter_is_made()

    def _adapter_is_made(self) -> bool:
        """Whether there is an adapter, made from all that the configuration says, so that nothing reads the latents."""
        record = read_record(self.workspace.artifact(ADAPTER))
        before = [ExtractStep, *([FitStep] if is_layout(self.config) else [])]
        if record is None or any(step.digest_in(self.workspace) is None for step in before):
            return False
        return record.fingerprint == fingerprint({"kind": ADAPTER, "inputs": adapter_inputs(self.job)})

    def size(self) -> Size:
        """A sample for each version of each training image."""
        count = self.job.images.counts().get(TRAIN_SPLIT, 0)
        return Size(self.job.images.shards_of(count), count * versions_in(self.config.adapt))

    def plan(self) -> StorePlan:
        """One unit for each training shard of the real store."""
        real, options = self.job.step(ShardStep).store, self.config.adapt
        inputs: dict[str, JSON] = {
            "real": content_digest(real),
            "base": base_identity(self.job),
            "precision": self.config.generator.training_precision,
            **caption_inputs(self.job),
        }
        if is_augmented(options):
            inputs |= options.model_dump(include={"flip", "crops", "smallest_crop"})
            inputs |= {"views": options.view_share > 0, **conditioning_content(self.job)}
        manifest = Manifest(LATENTS, None, self.job.images.working_size, inputs)

        def units() -> Plan:
            shards = keys_by_shard(real)
            return Plan.of(WorkUnit(name, keys) for name, keys in shards.items() if split_of(name) == TRAIN_SPLIT)

        return StorePlan(manifest, sorted(name for name in real.done() if split_of(name) == TRAIN_SPLIT), units)

    def work(self) -> tuple[Stage, Source]:
        """The stage and its source."""
        stage = Encode(
            base=self.config.generator.base,
            options=self.config.adapt,
            classes=class_names(self.job),
            precision=self.config.generator.training_precision,
            load=load_conditioning(self.job) if is_augmented(self.config.adapt) else None,
            revision=base_revision(self.job),
            **self.for_model,
        )
        return stage, with_captions(self.job, StoreSource(self.job.step(ShardStep).url, ("image", "label")))


def class_names(job: Job) -> tuple[str, ...]:
    """Names of the train ids of the real store; none if it has no labels."""
    taxonomy = taxonomy_of(job.step(ShardStep).store.manifest)
    return taxonomy.classes if taxonomy else ()


def is_augmented(options: AdaptOptions) -> bool:
    """Whether there are other versions of the training images than these themselves."""
    return versions_in(options) > 1


def versions_in(options: AdaptOptions) -> int:
    """How many versions there are of each training image."""
    return 1 + options.flip + options.crops


def latents_inputs(job: Job) -> dict[str, JSON]:
    """What the store of latents adds to the inputs of an adapter.

    Nothing where it has one version of every image: it is then made from what the adapter's inputs name already.
    """
    store = job.step(EncodeStep).store if Store.is_at(job.step(EncodeStep).url) else None
    if is_augmented(job.config.adapt) or (store is not None and store.totals().failures):
        return {LATENTS: content_digest(job.step(EncodeStep).store)}
    return {}


@dataclass(frozen=True)
class Cut:
    """One version of an image, before it is encoded, with its caption."""

    source: Sample
    name: str
    image: NDArray[np.uint8]
    label: NDArray[np.unsignedinteger] | None
    caption: FittedPrompt

    @property
    def key(self) -> str:
        """The key of its sample."""
        return version_key(self.source.key, self.name)


@dataclass
class Encode:
    """Encodes the versions of images and their captions; the layouts of images themselves are in another store.

    Attributes:
        base: the model that encodes.
        options: see `augment.lumen.training.versions`.
        classes: names of the train ids, for captions of images of which nothing else is known.
        precision: of the training: embeddings are `float32` for `fp32`, and `float16` for `bf16`.
        load: gives the conditioning, for the layouts of the other versions; None without any.
        revision: commit of a base on a hub; None is its newest.
    """

    base: str
    options: AdaptOptions
    classes: tuple[str, ...]
    precision: str
    load: LoadConditioning | None
    device: str
    resources: Resources
    batch_size: int
    revision: str | None = None
    name: str = "encode"
    _base: DiffusionModel | None = field(default=None, repr=False)
    _conditioning: Conditioning | None = field(default=None, repr=False)

    def setup(self) -> None:
        """Load what encodes and embeds of the base model, and the conditioning if there are other versions."""
        from augment.lumen.bases.loading import load_diffusion_model

        self._base = load_diffusion_model(self.base, self.device, network="shapes", revision=self.revision)
        self._conditioning = self.load(self.device) if self.load else None

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:  # noqa: ARG002 - see `Stage`
        """A sample for each version of each image of a batch, all of one size.

        Raises:
            NotFinite: the base gives latents that are not, which is the fault of its weights.
        """
        import torch

        needs_labels = self._conditioning is not None and self._conditioning.needs_labels
        ready = [sample for sample in batch if sample.label is not None or not needs_labels]
        if len(ready) < len(batch):
            # The engine tries the samples again one by one, so that only those without a label are quarantined.
            raise InvalidSample("unlabelled: the conditioning reads its label, and it has none")
        cuts = [[self.cut(sample, name) for sample in batch] for name in version_names(self.options)]
        with torch.inference_mode():
            texts = self.embedded({cut.caption.text for row in cuts for cut in row}, batch[0])
            rows = [self.encoded(row) for row in cuts]
        return [outcome for versions in zip(*rows, strict=True) for outcome in self.outcomes(versions, texts)]

    def cut(self, sample: Sample, name: str) -> Cut:
        """A version of a sample; it depends on key and name alone."""
        assert sample.image is not None
        generator = np.random.default_rng(stable_seed("version", sample.key, name))
        image, label = version_of(sample.image, sample.label, name, self.options, generator)
        description = training_caption(replace(sample, image=image, label=label), self.classes)
        return Cut(sample, name, image, label, self.model.prompt_limit.fit(Prompt(("", ""), description)))

    def embedded(self, captions: Collection[str], sample: Sample) -> dict[str, dict[str, NDArray[np.floating]]]:
        """The embeddings of distinct captions for images of the size of a sample."""
        import torch

        from augment.lumen.training.examples import text_arrays

        assert sample.image is not None
        height, width = sample.image.shape[:2]
        ordered = sorted(captions)
        text = self.model.embed(ordered, height, width)
        arrays = text_arrays(text, torch.float32 if self.precision == "fp32" else torch.float16)
        return dict(zip(ordered, arrays, strict=True))

    def encoded(self, row: Sequence[Cut]) -> list[tuple[Cut, Sample]]:
        """The latents of one version of a batch, with the layouts and views of these if it is not the images."""
        images = np.stack([cut.image for cut in row])
        latents = self.model.encode(images).half().cpu().numpy()
        made = [
            Sample(cut.key, latents=own, metadata=self.metadata(cut)) for cut, own in zip(row, latents, strict=True)
        ]
        if row[0].name != WHOLE:
            layouts = self.maps(row, images)
            made = [replace(sample, layout=layout) for sample, layout in zip(made, layouts, strict=True)]
            if self.options.view_share:
                seeds = [[stable_seed("view", cut.source.key, cut.name)] for cut in row]
                views = view_layouts(images, seeds, partial(self.maps, row), max(1, int(self.resources.num_cpus)))
                made = [replace(sample, views=found) for sample, found in zip(made, views, strict=True)]
        return list(zip(row, made, strict=True))

    def maps(self, row: Sequence[Cut], images: NDArray[np.uint8]) -> NDArray[np.float16]:
        """The maps of images with the labels of a row."""
        assert self._conditioning is not None
        labels = [cut.label for cut in row if cut.label is not None]
        return self._conditioning.maps(images, np.stack(labels) if self._conditioning.needs_labels else None)

    def metadata(self, cut: Cut) -> dict[str, JSON]:
        """Of the sample of a version."""
        return {SOURCE_KEY: cut.source.key, CAPTION: cut.caption.text, "split": cut.source.metadata["split"]}

    def outcomes(
        self, versions: Sequence[tuple[Cut, Sample]], texts: Mapping[str, dict[str, NDArray[np.floating]]]
    ) -> list[Outcome]:
        """What becomes of the versions of one image, with their embeddings: if one is not finite, all fail."""
        (whole, _), *_ = versions
        limit = self.model.prompt_limit.length
        shortened = f"caption shortened to the {limit} tokens that the text encoder takes"
        outcomes: list[Outcome] = []
        for cut, sample in versions:
            # Most versions of an image have its own caption; its embeddings are stored once.
            shared = cut.name != WHOLE and cut.caption.text == whole.caption.text
            made = replace(sample, text=None if shared else texts[cut.caption.text])
            if made.not_finite:
                where = f" ({cut.name})" if cut.name else ""
                return [Failed(cut.source.key, f"not finite: {made.not_finite}{where}")]
            outcomes.append(Ok(made, (shortened,) if cut.caption.shortened else ()))
        return outcomes

    @property
    def model(self) -> DiffusionModel:
        """The base model, which `setup` loads."""
        assert self._base is not None
        return self._base
