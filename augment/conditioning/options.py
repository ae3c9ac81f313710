"""The kinds of conditioning and their options. No torch here: the configuration imports this module."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field, model_validator

from augment.options import ModelName, Options

ConditioningKind: TypeAlias = Literal["layout", "canny", "depth", "label", "soft_edge"]
LAYOUT: ConditioningKind = "layout"
# What the maps of each kind are called in messages and on pages.
TITLES: dict[str, str] = {
    "layout": "neural layouts",
    "canny": "Canny edges",
    "depth": "depth maps",
    "label": "label maps",
    "soft_edge": "soft edges",
}
# Channels of the maps of each kind, if neither components nor classes are their number.
CHANNELS = {"canny": 64, "soft_edge": 64, "depth": 16}
# The largest gradient that OpenCV's Canny compares with its thresholds: 255 in both directions, weighted by 4.
STEEPEST = 2040


class CannyOptions(Options):
    """Thresholds of the Canny edges, if conditioning is canny."""

    low: float = Field(default=100, ge=0, le=STEEPEST, description="gradient that continues an edge")
    high: float = Field(default=200, ge=0, le=STEEPEST, description="gradient that begins an edge, at least `low`")

    @model_validator(mode="after")
    def _ascending(self) -> CannyOptions:
        if self.low > self.high:
            raise ValueError(f"low = {self.low:g} is above high = {self.high:g}; give a lower one")
        return self


class DepthOptions(Options):
    """The model of the depth maps, if conditioning is depth."""

    model: ModelName | None = Field(
        default=None, description="hub id or folder of a depth estimation model such as Depth Anything or DPT"
    )


class SoftEdgeOptions(Options):
    """The soft edges, if conditioning is soft_edge."""

    sigma: float = Field(
        default=1.5, ge=1, le=32, description="standard deviation of the blur before the gradient, in pixels"
    )
