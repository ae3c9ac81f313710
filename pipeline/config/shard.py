"""How a store keeps its samples."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from augment.options import Options


class ShardConfig(Options):
    """How a store keeps its samples."""

    samples_per_shard: int = Field(
        default=256, ge=1, le=100_000, description="samples a shard: a work unit of every stage"
    )
    image_format: Literal["png", "jpg", "webp"] = Field(default="png", description="format of images; labels are png")
