"""The configuration of a whole run."""

from __future__ import annotations

from pydantic import Field, model_validator

from augment.filtering import CurateOptions
from augment.lumen.options import AdaptOptions
from augment.options import AbsolutePath, Options, Seed, Url
from downstream.options import DownstreamOptions, EvaluateOptions, JudgeOptions, mix_weights
from pipeline.config.cluster import ClusterOptions
from pipeline.config.generation import (
    BackboneConfig,
    CaptionsConfig,
    GenerateConfig,
    GeneratorConfig,
    LayoutConfig,
)
from pipeline.config.sections import Name
from pipeline.config.shard import ShardConfig
from pipeline.datasets import TRAIN_SPLIT, DatasetOptions, Geometry
from pipeline.engine import ErrorBudget


class Config(Options):
    """A whole run."""

    name: Name = Field(description="name of the run, the title of its report")
    workspace: AbsolutePath = Field(description="folder that all stages write to")
    stores: Url | None = Field(
        default=None, description="URL that all stores are put under, e.g. s3://bucket/run; null is the workspace"
    )
    seed: Seed = Field(default=0, description="seed of everything drawn while generating")
    dataset: DatasetOptions
    geometry: Geometry
    backbone: BackboneConfig
    layout: LayoutConfig = LayoutConfig()
    captions: CaptionsConfig = CaptionsConfig()
    generator: GeneratorConfig
    adapt: AdaptOptions = AdaptOptions()
    generate: GenerateConfig
    judge: JudgeOptions = JudgeOptions()
    curate: CurateOptions = CurateOptions()
    downstream: DownstreamOptions = DownstreamOptions()
    evaluate: EvaluateOptions = EvaluateOptions()
    shard: ShardConfig = ShardConfig()
    error_budget: ErrorBudget = ErrorBudget()
    cluster: ClusterOptions = ClusterOptions()

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if (largest := max(self.generate.ks)) > self.layout.k_max:
            raise ValueError(
                f"generate.ks: {largest} is above layout.k_max = {self.layout.k_max}; "
                f"use ks of at most {self.layout.k_max}, or raise layout.k_max"
            )
        if unknown := sorted(set(self.generate.splits) - set(self.dataset.splits)):
            raise ValueError(f"generate.splits: {unknown[0]!r} is not among dataset.splits {list(self.dataset.splits)}")
        if self.evaluate.split is not None and self.evaluate.split not in self.dataset.splits:
            raise ValueError(
                f"evaluate.split: {self.evaluate.split!r} is not among dataset.splits {list(self.dataset.splits)}; "
                "null measures nothing"
            )
        if self.evaluate.split == TRAIN_SPLIT:
            raise ValueError(f"evaluate.split: {TRAIN_SPLIT!r} is what the fits are made on; name a held-out split")
        needed: dict[str, str] = {}
        if self.evaluate.split is not None:
            needed[self.evaluate.split] = "evaluate.split"
            if any("synthetic" in mix_weights(mix) for mix in self.downstream.mixes):
                needed[TRAIN_SPLIT] = "the mixes with synthetic data"
        for split, reader in needed.items():
            if split not in self.generate.splits:
                raise ValueError(f"generate.splits: {list(self.generate.splits)} lacks {split!r}, which {reader} needs")
        if self.generator.adapter is None:
            if self.layout.basis == "adapter":
                raise ValueError("layout.basis: 'adapter' needs generator.adapter; a new adapter takes basis 'own'")
            if self.adapt.steps == 0:
                raise ValueError("adapt.steps: a new adapter (generator.adapter: null) must be trained; give steps")
        elif self.layout.basis == "own" and self.adapt.steps == 0:
            raise ValueError(
                "layout.basis: 'own' gives the adapter components that it was not trained on; "
                "give adapt.steps, or take basis 'adapter'"
            )
        return self
