"""Options of the sampler. No torch here: the configuration imports this module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from augment.errors import UserError
from augment.options import Ascending, Options, file_or_model

Precision = Literal["bf16", "fp16", "fp32"]
TrainingPrecision = Literal["bf16", "fp32"]
LoraName = Annotated[str, Field(min_length=1), AfterValidator(file_or_model)]
Share = Annotated[float, Field(ge=0, le=1)]

NO_GUIDANCE = 1.0
FLOW = "flow_prediction"
BASE_SPACING = "base"
# Options that change nothing without guidance.
GUIDANCE_ONLY = {"text_guidance_scale", "guidance_interval", "control_free_branch"}
# Steps that a model for lcm was distilled for, of which it takes some.
LCM_STEPS = 50
# What earlier versions did. Stores that they wrote stay valid with these values.
EARLIER = {
    "scheduler": "ddim",
    "text_guidance_scale": None,
    "guidance_interval": [0, 1],
    "control_strength": 1,
    "control_free_branch": True,
    "fixed_batch": None,
    "tile": None,
    "reuse_adapter": 1,
    "reuse_blocks": 1,
}


class SamplerOptions(Options):
    """How images are sampled; see `augment.lumen.sampling.layout_sampler.LayoutSampler`."""

    scheduler: Literal["ddim", "dpmsolver++", "unipc", "euler", "lcm"] = Field(
        default="unipc", description="sampler; lcm needs a base or a LoRA that is distilled for it"
    )
    timestep_spacing: Literal["trailing", "leading", "linspace", "base"] = Field(
        default="trailing",
        description="noise levels of the steps: 'trailing' begins at the noisiest, which dark and bright images need; "
        "'base' is what the base model is configured for",
    )
    num_steps: int = Field(default=8, ge=1, le=1000, description="sampler steps")
    guidance_scale: float = Field(default=2.0, ge=1, le=30, description="1 is no guidance")
    text_guidance_scale: Annotated[float, Field(ge=0, le=30)] | None = Field(
        default=None,
        description="guidance by the prompt alone, beside that of guidance_scale by the layout alone, which then must "
        "be above 1: a step then costs half as much again; null guides by both at once",
    )
    guidance_interval: Annotated[tuple[Share, Share], Ascending] = Field(
        default=(0.5, 1),
        description="part of the way from noise (0) to image (1) on which guidance acts; elsewhere a step costs half",
    )
    control_strength: float = Field(
        default=1, ge=0, le=10, description="factor of what the adapter adds to the base; 0 ignores the layout"
    )
    control_free_branch: bool = Field(
        default=False,
        description="also run the adapter, with k = 0, for the branch of guidance that follows no layout",
    )
    precision: Precision = Field(
        default="bf16",
        description="of weights and sampling, and of training, which takes fp32 where this is fp16; on most CPUs fp32 "
        "is the fastest",
    )
    fixed_batch: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        default=None,
        description="images that are painted at once, always: a smaller batch is filled up, so that images are the "
        "same to the bit whatever their batch; null paints batches as they are",
    )
    lora: tuple[LoraName, ...] = Field(
        default=(), description="LoRAs for sampling, added to the base in this order: hub ids, folders or files"
    )
    compile: Literal["default", "reduce-overhead", "max-autotune-no-cudagraphs"] | None = Field(
        default=None,
        description="mode of torch.compile: 'default' compiles each kind of block once, 'reduce-overhead' records "
        "whole networks as CUDA graphs; null compiles nothing",
    )
    tile: int | None = Field(
        default=None,
        ge=32,
        le=8192,
        multiple_of=32,
        description="pixels of a side: larger images are painted in overlapping tiles, in the memory of one for each "
        "image of a batch; null paints each image at once",
    )
    tile_overlap: int = Field(
        default=64, ge=0, multiple_of=8, description="pixels that neighbouring tiles share at least; below tile"
    )
    reuse_adapter: int = Field(
        default=1, ge=1, le=100, description="steps that each run of the adapter serves; 1 runs it at every step"
    )
    reuse_blocks: int = Field(
        default=1,
        ge=1,
        le=100,
        description="steps that each run of the deep blocks of a U-Net serves; 1 runs them at every step",
    )

    @model_validator(mode="after")
    def _fitting(self) -> SamplerOptions:
        if self.text_guidance_scale is not None and self.guidance_scale == NO_GUIDANCE:
            raise ValueError(
                "text_guidance_scale needs a guidance_scale above 1; null guides by both with guidance_scale"
            )
        if self.tile is not None and self.tile_overlap >= self.tile:
            raise ValueError(f"tile_overlap={self.tile_overlap} is not below tile={self.tile}")
        if self.records_graphs and (self.reuse_adapter > 1 or self.reuse_blocks > 1):
            raise ValueError(
                f"compile={self.compile} overwrites at each step what reuse_adapter and reuse_blocks keep: take "
                "compile=default"
            )
        return self

    @property
    def training_precision(self) -> TrainingPrecision:
        """The precision of training: gradients underflow in fp16."""
        return "fp32" if self.precision == "fp16" else self.precision

    @property
    def records_graphs(self) -> bool:
        """Whether whole networks run as CUDA graphs."""
        return self.compile == "reduce-overhead"

    @property
    def semantic(self) -> dict[str, Any]:
        """The options that change the images, but for the content of LoRAs.

        Those that earlier versions lack are there only where they do.
        """
        unused = {"lora", "compile", *(("tile_overlap",) if self.tile is None else ())}
        if self.guidance_scale == NO_GUIDANCE:
            unused |= GUIDANCE_ONLY
        if self.scheduler == "lcm":
            unused.add("timestep_spacing")
        values = self.model_dump(mode="json", include=set(SamplerOptions.model_fields) - unused)
        return {name: value for name, value in values.items() if name not in EARLIER or value != EARLIER[name]}


DEFAULTS = SamplerOptions()


def is_flow(schedule: Mapping[str, Any]) -> bool:
    """Whether the configuration of a scheduler says that its model was trained by flow matching."""
    return str(schedule.get("_class_name", "")).startswith("FlowMatch") or schedule.get("prediction_type") == FLOW


def require_scheduler(schedule: Mapping[str, Any], options: SamplerOptions) -> None:
    """Check that a sampler exists for a base model.

    Args:
        schedule: configuration of the scheduler of the base.
        options: names the sampler.

    Raises:
        UserError: it does not.
    """
    if is_flow(schedule) and options.scheduler in ("ddim", "lcm"):
        raise UserError(
            f"generator.scheduler={options.scheduler}: the base was trained by flow matching, for which there are "
            "unipc, dpmsolver++ and euler"
        )
    if options.scheduler == "lcm" and options.num_steps > LCM_STEPS:
        raise UserError(f"generator.num_steps={options.num_steps}: lcm has at most {LCM_STEPS} steps")
    zero = schedule.get("rescale_betas_zero_snr") and schedule.get("prediction_type", "epsilon") == "epsilon"
    spacing = options.timestep_spacing
    if spacing == BASE_SPACING:
        spacing = schedule.get("timestep_spacing", "leading")
    # From pure noise, these two divide by the share of the image, which is zero.
    if zero and (options.scheduler == "lcm" or (options.scheduler == "ddim" and spacing != "leading")):
        raise UserError(
            f"generator.scheduler={options.scheduler}: the base predicts the noise, which says nothing at its noisiest "
            "level, that of pure noise: take unipc, dpmsolver++ or euler"
        )
