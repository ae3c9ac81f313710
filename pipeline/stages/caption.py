"""caption: a sentence that a model writes about every real image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, TypeVar

import numpy as np
from pydantic import Field

from augment.options import ModelName, Options
from pipeline.checks.hub import require_reachable
from pipeline.checks.models import CAPTIONER, require_captioner
from pipeline.datasets.table import CAPTIONS
from pipeline.engine import Failed, Ok, Outcome, Resources, Source, Stage, WorkUnit
from pipeline.stages.job import Job
from pipeline.stages.reading import CaptionedSource, PairedSource, StoreSource
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Size, contents_of
from pipeline.stages.store_step import StorePlan, StoreStep, plan_like
from pipeline.store import JSON, Manifest, Sample
from pipeline.workspace.content import content_digest
from pipeline.workspace.mismatch import content_of
from pipeline.workspace.model_files import pinned_identity, pinned_revision

Described = TypeVar("Described", PairedSource, StoreSource)

if TYPE_CHECKING:
    from augment.captioning import Captioner
    from pipeline.config import Config


class CaptionOptions(Options):
    """Captions of the real images by a model, in addition to those that the dataset has."""

    model: ModelName | None = Field(
        default=None, description="hub id or folder of an image-to-text model such as BLIP; null is none"
    )
    max_new_tokens: int = Field(default=30, ge=1, le=512, description="maximal number of tokens in a caption")
    prompt: str = Field(default="", description="words that every caption begins with")


class CaptionStep(StoreStep):
    """Writes the store of captions: the shards of the real store once more, with metadata alone."""

    name = "caption"
    output = "captions"
    title = "the store of captions"
    lineage = ("captions",)
    reads = ("shard",)
    input_names: ClassVar[Mapping[str, str]] = {
        **contents_of(ShardStep),
        "model": CAPTIONER,
        "model.name": CAPTIONER,
        "model.digest": content_of("the files of captions.model"),
        "model.revision": "the revision of captions.model",
        "max_new_tokens": "captions.max_new_tokens",
        "prompt": "captions.prompt",
    }

    @classmethod
    def left_out(cls, config: Config) -> str:
        """See `Step.left_out`."""
        return "" if config.captions.model else "captions.model is null; name an image-to-text model"

    def check_models(self) -> None:
        """Check that the model exists and writes text about images."""
        require_reachable(CAPTIONER, self._model, "config.json", [])
        require_captioner(self._model)

    def size(self) -> Size:
        """Those of the real store."""
        return self.job.step(ShardStep).size()

    def plan(self) -> StorePlan:
        """One unit for each shard of the real store."""
        options, real = self.config.captions, self.job.step(ShardStep).store
        inputs: dict[str, JSON] = {
            "real": content_digest(real),
            "model": self._identity,
            "max_new_tokens": options.max_new_tokens,
            "prompt": options.prompt,
        }
        manifest = Manifest("captions", None, {}, inputs)
        return plan_like(real, manifest)

    def work(self) -> tuple[Stage, Source]:
        """The stage and its source."""
        options = self.config.captions
        revision = pinned_revision(self._identity)
        stage = Caption(self._model, options.max_new_tokens, options.prompt, revision=revision, **self.for_model)
        return stage, StoreSource(self.job.step(ShardStep).url, ("image",))

    @property
    def _model(self) -> str:
        assert self.config.captions.model is not None
        return self.config.captions.model

    @property
    def _identity(self) -> Mapping[str, JSON]:
        return pinned_identity(self._model, self.inputs_in(self.workspace, self.output).get("model"))


def caption_inputs(job: Job) -> dict[str, JSON]:
    """What the captions add to the inputs of results that are made with them; nothing in a run without captions."""
    if CaptionStep.left_out(job.config):
        return {}
    return {CaptionStep.output: content_digest(job.step(CaptionStep).store)}


def with_captions(job: Job, samples: Described) -> Described | CaptionedSource:
    """A source of samples with their captions, in a run that has captions."""
    if CaptionStep.left_out(job.config):
        return samples
    return CaptionedSource(samples, StoreSource(job.step(CaptionStep).url, ()))


@dataclass
class Caption:
    """Describes images with an image-to-text model; a sample of it is metadata alone.

    Attributes:
        model, max_new_tokens, prompt, revision: see `Captioner`.
    """

    model: str
    max_new_tokens: int
    prompt: str
    device: str
    resources: Resources
    batch_size: int
    revision: str | None = None
    name: str = "caption"
    _captioner: Captioner | None = field(default=None, repr=False)

    def setup(self) -> None:
        """Load the model."""
        from augment.captioning import Captioner

        self._captioner = Captioner(self.model, self.device, self.max_new_tokens, self.prompt, self.revision)

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:  # noqa: ARG002
        """The caption of each image of a batch, all of one size, as the one entry of `captions`."""
        assert self._captioner is not None
        images = np.stack([sample.image for sample in batch if sample.image is not None])
        return [
            Ok(Sample(sample.key, metadata={CAPTIONS: [caption], "split": sample.metadata["split"]}))
            if caption
            else Failed(sample.key, "empty caption: the model wrote nothing about the image")
            for sample, caption in zip(batch, self._captioner.describe(images), strict=True)
        ]
