"""Options of segmenters, mixes and their evaluation. No torch here: the configuration imports this module."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from augment.backbones.options import BackboneName
from augment.options import (
    AbsolutePath,
    Ascending,
    CheckpointMinutes,
    Distinct,
    ModelName,
    Options,
    Positive,
    PositiveFloat,
    Seed,
)
from downstream.arms import AUGMENTED, PSEUDO, RARE, SOURCES, Arm, parse_arm
from downstream.statistics import MIN_SEEDS
from downstream.strong_augmentation import STRONG
from pipeline.store import JSON, file_digest

# Options that do not change the result.
_OPERATIONAL = {"num_workers", "checkpoint_interval", "checkpoint_minutes", "val_batch_size"}
Iterations = Annotated[int, Field(ge=1, le=10_000_000, description="optimizer steps")]


class SegmenterOptions(Options):
    """The options of a segmenter and its training that the configuration sets."""

    model: str = Field(default="segformer_mit-b0", min_length=1, description="mmsegmentation model or config file")
    iterations: Iterations = Field(default=1000, description="optimizer steps, the same for every mix")
    decoder_channels: int | None = Field(
        default=None, ge=8, description="width of the decode head; null keeps the model's own"
    )
    pretrained: AbsolutePath | None = Field(
        default=None, description="weights to start from, safetensors or a checkpoint; null starts from random ones"
    )
    batch_size: int = Field(default=8, ge=1, le=4096, description="images per step")
    learning_rate: float = Field(
        default=3e-3, gt=0, le=1, description="peak rate of AdamW; with pretrained weights the head learns at 10 x it"
    )
    weight_decay: float = Field(default=0.01, ge=0, le=1, description="of AdamW, on all but norms and biases")
    scale_range: Annotated[tuple[PositiveFloat, PositiveFloat], Ascending] = Field(
        default=(0.75, 1.5), description="images are resized by a random factor in this range before cropping"
    )
    photometric: bool = Field(default=True, description="whether brightness, contrast and colour are varied")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32",
        description="of the forward pass; weights are fp32. bf16 suits GPUs from Ampere on, fp16 older ones",
    )
    num_workers: int = Field(default=0, ge=0, le=256, description="loader processes; does not change the result")
    checkpoint_minutes: CheckpointMinutes = 5


class SegmenterTraining(SegmenterOptions):
    """All options of a segmenter's training, the same for every mix, so that results are comparable."""

    warmup: float = Field(default=0.05, ge=0, lt=1, description="share of the iterations over which the rate rises")
    power: float = Field(default=1.0, description="of the polynomial by which the rate then falls to 0")
    crop: tuple[int, int] | None = Field(
        default=None, description="height and width of training crops in pixels; None takes the stores' own size"
    )
    flip: float = Field(default=0.5, ge=0, le=1, description="probability of a horizontal flip")
    checkpoint_interval: Positive = Field(
        default=100, description="iterations between saved states; does not change the result"
    )
    val_batch_size: Positive = Field(default=16, description="samples per evaluation step; does not change the result")

    @property
    def semantic(self) -> dict[str, Any]:
        """The options that change the result, as JSON; files are named by their content."""
        values = self.model_dump(mode="json", exclude=_OPERATIONAL)
        for name in ("model", "pretrained"):
            if values[name] and Path(values[name]).is_file():
                values[name] = file_digest(Path(values[name]))
        # Earlier results know this precision alone and do not name it.
        if self.precision == "fp32":
            del values["precision"]
        return values


class ArmOptions(Options):
    """What the words in the brackets of a mix mean."""

    augmentation: Literal["strong"] | tuple[dict[str, Any], ...] = Field(
        default="strong",
        description="of [augmented]: transforms of Albumentations after the usual ones, as {type: NAME, OPTION: VALUE}",
    )
    pseudo_confidence: float = Field(
        default=0.95, ge=0, lt=1, description="of [pseudo]: least probability of a predicted class that is learned"
    )
    rare_temperature: PositiveFloat = Field(
        default=0.01, description="of [rare]: T of P(c) ~ exp((1 - f_c) / T); the lower, the more often rare classes"
    )

    def used_by(self, arm: Arm) -> dict[str, JSON]:
        """The options that change what an arm is, as JSON."""
        transforms: list[JSON] = [dict(transform) for transform in self.transforms]
        used: dict[str, tuple[str, JSON]] = {
            AUGMENTED: ("augmentation", transforms),
            PSEUDO: ("pseudo_confidence", self.pseudo_confidence),
            RARE: ("rare_temperature", self.rare_temperature),
        }
        return {name: value for flag, (name, value) in used.items() if arm.uses(flag)}

    @property
    def transforms(self) -> tuple[Mapping[str, Any], ...]:
        """The transforms of `augmentation`."""
        return STRONG if self.augmentation == "strong" else self.augmentation


class DownstreamOptions(ArmOptions, SegmenterOptions):
    """The segmenter, and the mixes it is trained on to compare them."""

    mixes: Annotated[tuple[str, ...], Field(min_length=1), Distinct] = Field(
        default=("real", "synthetic", "real+synthetic"),
        description="mixes to compare, such as 'real+2*synthetic' or 'synthetic[k=5] > real[10%]'; see arms.md",
    )
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), Distinct] = Field(
        default=(0,), description="one training for each mix and seed; a recommendation takes three or more"
    )
    smallest_gain: PositiveFloat = Field(
        default=1.0, le=100, description="gain in points of mIoU that is worth having; 1 is from 40 to 41 percent"
    )
    stop_early: bool = Field(
        default=False,
        description="whether results are looked at after every seed from the third on, and no more are trained once "
        "the answer is clear; the seeds are then the most that are trained",
    )

    @model_validator(mode="after")
    def _known_mixes(self) -> DownstreamOptions:
        first: dict[str, str] = {}
        for mix in self.mixes:
            arm = parse_arm(mix)
            if first.setdefault(str(arm), mix) != mix:
                raise ValueError(f"mixes: {first[str(arm)]!r} and {mix!r} are the same: leave one out")
            if any(begin == end for begin, end in pairwise(arm.bounds(self.iterations))):
                raise ValueError(
                    f"mixes: a phase of {mix!r} has no whole step in downstream.iterations={self.iterations}: give more"
                )
        return self

    @model_validator(mode="after")
    def _seeds_to_stop_before(self) -> DownstreamOptions:
        if self.stop_early and len(self.seeds) <= MIN_SEEDS:
            raise ValueError(
                f"stop_early looks at results from the third seed on, and seeds has {len(self.seeds)}: give more"
            )
        return self

    def training(self, iterations: int) -> SegmenterTraining:
        """The training of every mix, for this number of iterations."""
        shared = self.model_dump(include=set(SegmenterOptions.model_fields))
        return SegmenterTraining(**{**shared, "iterations": iterations})

    @property
    def arms(self) -> ArmOptions:
        """What the words in the brackets of a mix mean."""
        return ArmOptions(**self.model_dump(include=set(ArmOptions.model_fields)))


class JudgeOptions(Options):
    """Training of the judge, a segmenter trained on real data alone, which scores synthetic data."""

    iterations: Iterations = 1000
    seed: Seed = Field(default=0, description="seed of its training")
    held_back: float = Field(
        default=0.2,
        ge=0,
        le=0.5,
        description="share of the training images that it does not learn from: curation learns on them which loss is "
        "usual; 0 takes the images that it has learned, and their losses are too low",
    )


class EvaluateOptions(Options):
    """The split that alignment, diversity and the comparison are measured on, and the measures of images."""

    split: Annotated[str, Field(min_length=1)] | None = Field(
        default="val", description="held-out split; null leaves out all stages that need labels, from judge on"
    )
    second_judge: str | None = Field(
        default=None,
        min_length=1,
        description="mmsegmentation model or config file of another architecture than downstream.model, trained as the "
        "judge is but from random weights, that also measures alignment; null has one judge",
    )
    images: int = Field(
        default=500,
        ge=0,
        le=100_000,
        description="sources of the split that features, edges and depth are measured on; 0 measures none of these",
    )
    train_images: int = Field(
        default=1000, ge=0, le=1_000_000, description="training images that copies are searched among; 0 searches none"
    )
    backbone: BackboneName | None = Field(
        default=None, description="backbone of the features, as in backbone.name; null is the backbone of the run"
    )
    clip_model: ModelName | None = Field(
        default=None,
        description="hub id or folder of a CLIP model such as openai/clip-vit-large-patch14-336, for CMMD; null "
        "leaves it out",
    )
    depth_model: ModelName | None = Field(
        default=None,
        description="hub id or folder of a depth estimation model, for the agreement of depth; null leaves it out",
    )

    @property
    def measures(self) -> dict[str, Any]:
        """The settings of the measures that differ from their defaults; models are named, not their content."""
        return self.model_dump(exclude_defaults=True, exclude={"split", "second_judge"})


def mix_weights(expression: str) -> dict[str, float]:
    """Weight of each source in a mix such as `real`, `real+synthetic` or `real+0.5*synthetic`.

    In a mix with phases, these are the shares of all samples.

    Raises:
        ValueError: it is no mix; see `downstream.arms.parse_arm`.
    """
    arm = parse_arm(expression)
    return {source: float(weight) for source in SOURCES if (weight := arm.weight_of(source))}
