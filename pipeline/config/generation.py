"""From layouts to images: the models and what is painted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from augment.options import Options, Splits
from pipeline.config.sections import Ks, ModelName
from pipeline.datasets import TRAIN_SPLIT, SamplingOptions


class BackboneConfig(Options):
    """The frozen foundation model that layouts are read from."""

    name: ModelName = Field(description="'dinov2-vits14' (no hub needed), a hub id or a folder")


class LayoutConfig(Options):
    """The neural layout."""

    k_max: int = Field(default=24, ge=1, le=128, description="components stored; every k used is at most this")
    basis: Literal["adapter", "own"] = Field(
        default="adapter", description="the basis the adapter was trained with, or this dataset's own"
    )


class CaptionsConfig(Options):
    """Captions of the real images by a model, beside those that the dataset has."""

    model: ModelName | None = Field(
        default=None, description="hub id or folder of an image-to-text model such as BLIP; null is none"
    )
    max_new_tokens: int = Field(default=30, ge=1, le=512, description="at most so many tokens a caption")
    prompt: str = Field(default="", description="words that every caption begins with")


class GeneratorConfig(Options):
    """The diffusion model and how it is sampled."""

    base: ModelName = Field(description="'lumen-tiny', or a hub id or folder that diffusers loads")
    adapter: ModelName | None = Field(
        default=None, description="'lumen-tiny' or a folder to start from; null starts a new one"
    )
    num_steps: int = Field(default=20, ge=1, le=1000, description="sampler steps")
    guidance_scale: float = Field(default=2.0, ge=1, le=30, description="1 is no guidance")
    precision: Literal["bf16", "fp32"] = Field(default="bf16", description="of training and sampling")


class PromptConfig(Options):
    """The words beside the layout. A template's {names} are attributes of the source, or drawn ones."""

    templates: tuple[str, ...] = Field(default=("{caption}",), min_length=1, description="one is drawn for each sample")
    domains: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        default={},
        description="attribute -> values; one is drawn for each sample, in place of the source's own",
    )
    negative: str = Field(default="", description="what guidance leads away from")


class GenerateConfig(Options):
    """Which synthetic images are made of each real one."""

    ks: Ks = Field(description="numbers of layout components: few for diverse images, many for faithful ones")
    variants: int = Field(default=1, ge=1, le=100, description="images for each source and k")
    splits: Splits = Field(default=(TRAIN_SPLIT, "val"), description="splits whose images are used as sources")
    sampling: SamplingOptions | None = Field(default=None, description="which of those to use; null uses all")
    prompts: PromptConfig = PromptConfig()

    @model_validator(mode="after")
    def _sampled_splits(self) -> GenerateConfig:
        if self.sampling and (unknown := sorted(set(self.sampling.splits) - set(self.splits))):
            raise ValueError(f"sampling.splits names {unknown}, which are not among the splits {list(self.splits)}")
        return self
