"""Options of the sampler. No torch here: the configuration imports this module."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from augment.options import Options

Precision = Literal["bf16", "fp32"]

NO_GUIDANCE = 1.0


class SamplerOptions(Options):
    """How images are sampled; see `augment.lumen.sampling.layout_sampler.LayoutSampler`."""

    num_steps: int = Field(default=20, ge=1, le=1000, description="sampler steps")
    guidance_scale: float = Field(default=2.0, ge=1, le=30, description="1 is no guidance")
    precision: Precision = Field(default="bf16", description="of training and sampling")

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

    @model_validator(mode="after")
    def _overlap_below_tile(self) -> SamplerOptions:
        if self.tile is not None and self.tile_overlap >= self.tile:
            raise ValueError(f"tile_overlap={self.tile_overlap} is not below tile={self.tile}")
        return self

    @property
    def semantic(self) -> dict[str, Any]:
        """The options that change the images; those that earlier versions lack are there only where they do."""
        values = self.model_dump(mode="json", include=set(SamplerOptions.model_fields))
        if self.tile is None:
            del values["tile"], values["tile_overlap"]
        return values


DEFAULTS = SamplerOptions()
