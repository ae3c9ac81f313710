"""Options of rendered scenes."""

from __future__ import annotations

from pydantic import Field

from augment.options import Options, Seed


class RenderOptions(Options):
    """Scenes that `dataset.kind: rendered` renders into `<workspace>/scenes` if the folder does not have them."""

    train: int = Field(default=64, ge=1, le=100_000, description="training scenes")
    val: int = Field(default=16, ge=1, le=100_000, description="validation scenes")
    height: int = Field(default=192, ge=64, le=2048, description="height of a rendered scene in pixels")
    width: int = Field(default=384, ge=64, le=4096, description="width of a rendered scene in pixels")
    seed: Seed = Field(default=0, description="seed of the scenes")
