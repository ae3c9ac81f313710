"""Which images to generate: the section `generate` of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from augment.options import Distinct, GuidanceScale, Options, Splits
from augment.prompts import PromptOptions
from pipeline.datasets import TRAIN_SPLIT, SamplingOptions
from pipeline.stages.edit_options import EditOptions

Ks = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), Distinct]

Scales = Annotated[tuple[GuidanceScale, ...], Field(min_length=1), Distinct]


class VariantRange(Options):
    """How many images are made of easy and of hard sources."""

    fewest: int = Field(ge=0, le=99, description="images for each k of the easiest training image")
    most: int = Field(ge=1, le=100, description="images for each k of the hardest training image")


class GenerateOptions(Options):
    """Which synthetic images are made of each real one."""

    ks: Ks | Literal["all", "auto"] = Field(
        description="numbers of layout components: few for diverse images, many for faithful ones; 'all' is as many as "
        "there are, and the only number above 0 of a conditioning other than layout; 'auto' takes the smallest ks that "
        "keep 80, 95 and 99 % of what layouts say of the classes, see lumen layouts"
    )
    variants: int = Field(default=1, ge=1, le=100, description="images for each source and k")
    guidance_scales: Scales | None = Field(
        default=None,
        description="guidance scales that the variants have in turn, recorded with each image, so that "
        "synthetic[guidance_scale=3] is a mix of its own; null has generator.guidance_scale for all",
    )
    variants_by_hardness: VariantRange | None = Field(
        default=None,
        description="number of images of easy and hard training images, by the judge's usual loss of the classes in "
        "their labels; variants is their mean; null makes as many of each",
    )
    splits: Splits = Field(default=(TRAIN_SPLIT, "val"), description="splits with the images to generate from")
    sampling: SamplingOptions | None = Field(default=None, description="which of those to use; null uses all")
    prompts: PromptOptions = PromptOptions()
    edit: EditOptions | None = Field(default=None, description="edits of layouts and labels; null edits nothing")
    k_by_class: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default={}, description="class -> layout components in its region, whatever the k of the image"
    )
    strength_by_class: dict[str, Annotated[float, Field(ge=0, le=2)]] = Field(
        default={},
        description="class -> factor of what the adapter adds to the base in its region, times "
        "generator.control_strength; 0 ignores the layout there, 1 changes nothing",
    )
    k_by_judge: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="classes with a lower IoU of the judge on held-out real images follow all components, because "
        "curation would not find a fault there; null leaves them the k of the image",
    )

    @property
    def needs_judge(self) -> bool:
        """Whether the judge decides what is painted."""
        return self.k_by_judge is not None or self.variants_by_hardness is not None

    @model_validator(mode="after")
    def _variants_have_all_scales(self) -> GenerateOptions:
        scales = len(self.guidance_scales or ())
        if scales and self.variants % scales:
            raise ValueError(
                f"guidance_scales: {scales} scales for generate.variants={self.variants}, which have them in turn: "
                f"give a multiple of {scales}, so that there are as many images of each"
            )
        if scales and self.variants_by_hardness:
            raise ValueError(
                "guidance_scales: with variants_by_hardness, later variants are of hard images alone, and so would be "
                "the images of some scales: leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> GenerateOptions:
        if by := self.variants_by_hardness:
            if not by.fewest < self.variants < by.most:
                raise ValueError(
                    f"variants={self.variants} is the mean number of variants_by_hardness: give it between "
                    f"fewest={by.fewest} and most={by.most}"
                )
            if TRAIN_SPLIT not in self.splits:
                raise ValueError(
                    f"variants_by_hardness is for training images, and splits={list(self.splits)} has no {TRAIN_SPLIT}"
                )
        if self.sampling and (unknown := sorted(set(self.sampling.splits) - set(self.splits))):
            raise ValueError(f"sampling.splits names {unknown}, which are not among the splits {list(self.splits)}")
        if self.edit and (unknown := sorted(set(self.edit.splits) - set(self.splits))):
            raise ValueError(f"edit.splits names {unknown}, which are not among the splits {list(self.splits)}")
        return self
