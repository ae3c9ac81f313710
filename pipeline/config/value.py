"""What the data was worth: judging, curation, training on mixes, evaluation."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, model_validator

from augment.options import AbsolutePath, Ascending, CheckpointMinutes, Distinct, Options, PositiveFloat, Seed

PARTS = ("real", "synthetic")


class JudgeConfig(Options):
    """The segmenter trained on real data alone, which scores synthetic data."""

    iterations: int = Field(default=1000, ge=1, le=10_000_000, description="optimizer steps")
    seed: Seed = Field(default=0, description="seed of its training")


class CurateConfig(Options):
    """What becomes of labels that the judge does not believe."""

    quantile: float = Field(default=0.95, gt=0, lt=1, description="of a class's pixel losses on real data: its scale")
    tolerance: float = Field(default=1.25, ge=1, le=100, description="loss over tolerance x scale makes a pixel 255")
    min_reliable: float = Field(default=0.5, ge=0, le=1, description="images with a lower share believed are dropped")


def mix_weights(expression: str) -> dict[str, float]:
    """Weight of each part of a mix such as `real`, `real+synthetic` or `real+0.5*synthetic`.

    Raises:
        ValueError: the expression names a part other than `real` and `synthetic`, or one twice.
    """
    weights: dict[str, float] = {}
    for term in expression.replace(" ", "").split("+"):
        match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)\*)?(\w+)", term)
        if match is None or match[2] not in PARTS or match[2] in weights or float(match[1] or 1) == 0:
            raise ValueError(
                f"{expression!r} is no mix: join 'real' and 'synthetic', each once, with '+' and a factor, "
                "e.g. 'real+0.5*synthetic'"
            )
        weights[match[2]] = float(match[1] or 1)
    return weights


class DownstreamConfig(Options):
    """The model whose training shows what the data was worth."""

    model: str = Field(default="segformer_mit-b0", min_length=1, description="mmsegmentation model or config file")
    iterations: int = Field(default=1000, ge=1, le=10_000_000, description="optimizer steps, the same for every mix")
    decoder_channels: int | None = Field(
        default=None, ge=8, description="width of the decode head; null keeps the model's own"
    )
    pretrained: AbsolutePath | None = Field(
        default=None, description="weights to start from, safetensors or a checkpoint; null starts from random ones"
    )
    batch_size: int = Field(default=8, ge=1, le=4096, description="images a step")
    learning_rate: float = Field(default=3e-3, gt=0, le=1, description="peak rate of AdamW")
    weight_decay: float = Field(default=0.01, ge=0, le=1, description="of AdamW")
    scale_range: Annotated[tuple[PositiveFloat, PositiveFloat], Ascending] = Field(
        default=(0.75, 1.5), description="images are resized by a factor drawn from it before cropping"
    )
    photometric: bool = Field(default=True, description="whether brightness, contrast and colour are varied")
    num_workers: int = Field(default=0, ge=0, le=256, description="loader processes; does not change the result")
    checkpoint_minutes: CheckpointMinutes = 5
    mixes: Annotated[tuple[str, ...], Field(min_length=1), Distinct] = Field(
        default=("real", "synthetic", "real+synthetic"),
        description="mixes to compare, e.g. 'real+2*synthetic'",
    )
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), Distinct] = Field(
        default=(0,), description="one training for each mix and seed"
    )

    @model_validator(mode="after")
    def _known_parts(self) -> DownstreamConfig:
        for mix in self.mixes:
            mix_weights(mix)
        return self


class EvaluateConfig(Options):
    """What alignment, diversity and the comparison are measured on."""

    split: Annotated[str, Field(min_length=1)] | None = Field(
        default="val", description="held-out split; null leaves out all stages that need labels, from judge on"
    )
