"""Options of the sampler. No torch here: the configuration imports this module."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from augment.options import Options

Precision = Literal["bf16", "fp32"]

NO_GUIDANCE = 1.0


class SamplerOptions(Options):
    """How images are sampled; see `augment.lumen.sampling.layout_sampler.LayoutSampler`."""

    num_steps: int = Field(default=20, ge=1, le=1000, description="sampler steps")
    guidance_scale: float = Field(default=2.0, ge=1, le=30, description="1 is no guidance")
    precision: Precision = Field(default="bf16", description="of training and sampling")

    @property
    def semantic(self) -> dict[str, Any]:
        """The options that change the images; those that earlier versions lack are there only where they do."""
        return self.model_dump(mode="json", include=set(SamplerOptions.model_fields))


DEFAULTS = SamplerOptions()
