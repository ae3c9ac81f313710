"""A stage of somebody's own: the real images once more, blurred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from PIL import Image, ImageFilter
from pydantic import Field

from augment.options import Options
from pipeline.engine import Ok, Outcome, Resources, Source, Stage, WorkUnit
from pipeline.stages.reading import StoreSource
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Size, contents_of
from pipeline.stages.store_step import StorePlan, StoreStep, plan_like
from pipeline.store import Sample
from pipeline.workspace.content import content_digest


class BlurOptions(Options):
    radius: float = Field(default=2, gt=0, description="radius of the blur in pixels")


class BlurStep(StoreStep):
    name, output, title = "blur", "blurred", "the store of blurred images"
    section, section_options = "blur", BlurOptions
    reads, lineage = ("shard",), ("blurred",)
    input_names: ClassVar[Mapping[str, str]] = {**contents_of(ShardStep), "radius": "blur.radius"}

    @property
    def radius(self) -> float:
        return self.job.section(self.section, BlurOptions).radius

    def size(self) -> Size:
        return self.job.step(ShardStep).size()

    def plan(self) -> StorePlan:
        real = self.job.step(ShardStep).store
        inputs = {"real": content_digest(real), "radius": self.radius}
        return plan_like(real, replace(real.manifest, kind="blurred", inputs=inputs))

    def work(self) -> tuple[Stage, Source]:
        return Blur(self.radius, **self.for_stage), StoreSource(self.job.step(ShardStep).url, ("image", "label"))


@dataclass
class Blur:
    radius: float
    resources: Resources
    batch_size: int
    name: str = "blur"

    def setup(self) -> None:
        pass

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:  # noqa: ARG002
        def blurred(image: np.ndarray) -> np.ndarray:
            return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(self.radius)))

        return [Ok(replace(sample, image=blurred(sample.image))) for sample in batch]
