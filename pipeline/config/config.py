"""The configuration of a whole run: a section for each component, which is that component's own options."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import Field, create_model, model_validator

from augment.backbones.options import BackboneOptions
from augment.conditioning import LAYOUT, ConditioningKind
from augment.conditioning.options import CannyOptions, DepthOptions, SoftEdgeOptions
from augment.filtering import CurateOptions
from augment.lumen.options import AdaptOptions
from augment.model_licences import LicenceOptions
from augment.options import AbsolutePath, Name, Options, Seed, Url
from downstream.arms import parse_arm
from downstream.options import DownstreamOptions, EvaluateOptions, JudgeOptions
from downstream.search_options import SearchOptions
from pipeline.config.cluster import ClusterOptions
from pipeline.datasets import TRAIN_SPLIT, DatasetOptions, Geometry
from pipeline.engine import ErrorBudget
from pipeline.stages.caption import CaptionOptions
from pipeline.stages.conditioning import ALL, AUTO
from pipeline.stages.fit import LayoutOptions
from pipeline.stages.generate_options import GenerateOptions
from pipeline.stages.generator import GeneratorOptions
from pipeline.stages.probe import ProbeOptions
from pipeline.stages.registry import STEPS
from pipeline.stages.shard import ShardOptions
from pipeline.stages.step import Step


class Config(Options):
    """A whole run."""

    name: Name = Field(description="name of the run, the title of its report")
    workspace: AbsolutePath = Field(description="folder that all stages write to")
    stores: Url | None = Field(
        default=None, description="URL of the folder of all stores, e.g. s3://bucket/run; null is the workspace"
    )
    seed: Seed = Field(default=0, description="seed of every random choice in training the adapter and generating")
    conditioning: ConditioningKind = Field(
        default=LAYOUT, description="what the adapter reads: neural layouts, Canny edges, depth, labels or soft edges"
    )
    dataset: DatasetOptions
    geometry: Geometry
    backbone: BackboneOptions
    layout: LayoutOptions = LayoutOptions()
    probe: ProbeOptions = ProbeOptions()
    canny: CannyOptions = CannyOptions()
    depth: DepthOptions = DepthOptions()
    soft_edge: SoftEdgeOptions = SoftEdgeOptions()
    captions: CaptionOptions = CaptionOptions()
    generator: GeneratorOptions
    adapt: AdaptOptions = AdaptOptions()
    generate: GenerateOptions
    judge: JudgeOptions = JudgeOptions()
    curate: CurateOptions = CurateOptions()
    downstream: DownstreamOptions = DownstreamOptions()
    search: SearchOptions | None = Field(
        default=None, description="a search for the best mix before the comparison; null searches nothing"
    )
    evaluate: EvaluateOptions = EvaluateOptions()
    shard: ShardOptions = ShardOptions()
    licences: LicenceOptions = LicenceOptions()
    error_budget: ErrorBudget = ErrorBudget()
    cluster: ClusterOptions = ClusterOptions()

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        self._check_regions()
        self._check_judged()
        if self.conditioning == LAYOUT:
            self._check_layout()
        else:
            self._check_conditioning()
        self._check_views()
        self._check_splits()
        self._check_guidance()
        if self.search is not None:
            if self.evaluate.split is None:
                raise ValueError(
                    "search: compare confirms its winner on held-out images, and evaluate.split is null; name a "
                    "labelled split, or leave the search out"
                )
            self.search.check(self.downstream.iterations, self.downstream.seeds, self.judge.held_back)
        if self.generator.adapter is None and self.adapt.steps == 0:
            raise ValueError("adapt.steps: a new adapter (generator.adapter: null) must be trained; give steps")
        if self.generator.adapter is not None and self.adapt.controlnet is not None:
            raise ValueError(
                f"adapt.controlnet: the training starts from generator.adapter = {self.generator.adapter}; set that to "
                "null (with layout.basis=own), or leave adapt.controlnet out"
            )
        return self

    def _check_layout(self) -> None:
        """Raise ValueError if the components of neural layouts are not those that the adapter reads."""
        ks = self.generate.ks
        if isinstance(ks, tuple) and (largest := max(ks)) > self.layout.k_max:
            raise ValueError(
                f"generate.ks: {largest} is above layout.k_max = {self.layout.k_max}; "
                f"use ks of at most {self.layout.k_max}, or raise layout.k_max"
            )
        if self.generator.adapter is None:
            if self.layout.basis == "adapter":
                raise ValueError("layout.basis: 'adapter' needs generator.adapter; a new adapter takes basis 'own'")
        elif self.layout.basis == "own" and self.adapt.steps == 0:
            raise ValueError(
                "layout.basis: 'own' gives the adapter components that it was not trained on; "
                "give adapt.steps, or take basis 'adapter'"
            )

    def _check_conditioning(self) -> None:
        """Raise ValueError if a conditioning other than the neural layout lacks its model, or is to be cut to a k."""
        if self.conditioning == "depth" and self.depth.model is None:
            raise ValueError(
                "depth.model: conditioning=depth needs a hub id or folder of a depth estimation model, such as "
                "depth-anything/Depth-Anything-V2-Small-hf"
            )
        if self.generate.ks == AUTO:
            raise ValueError(
                f"generate.ks: '{AUTO}' chooses among the components of neural layouts; with "
                f"conditioning={self.conditioning} give '{ALL}'"
            )

    def _check_regions(self) -> None:
        """Raise ValueError if regions are to be edited, or to have ks of their own, and cannot."""
        asked = {
            "generate.edit": self.generate.edit is not None,
            "generate.k_by_class": bool(self.generate.k_by_class),
            "generate.k_by_judge": self.generate.k_by_judge is not None,
            "adapt.k_regions": bool(self.adapt.k_regions),
        }
        if self.conditioning != LAYOUT and (wrong := [name for name, is_asked in asked.items() if is_asked]):
            raise ValueError(
                f"{wrong[0]}: it is for neural layouts; leave it out with conditioning={self.conditioning}"
            )
        for name, k in self.generate.k_by_class.items():
            if k > self.layout.k_max:
                raise ValueError(f"generate.k_by_class.{name}: {k} is above layout.k_max = {self.layout.k_max}")

    def _check_judged(self) -> None:
        """Raise ValueError if the judge is to steer what is generated, and cannot."""
        by_hardness = self.generate.variants_by_hardness is not None
        asked = {
            "generate.k_by_judge": self.generate.k_by_judge is not None,
            "generate.variants_by_hardness": by_hardness,
        }
        if self.evaluate.split is None and (wrong := [name for name, is_asked in asked.items() if is_asked]):
            raise ValueError(
                f"{wrong[0]}: the judge is measured on held-out images, and evaluate.split is null; name a "
                "labelled split, or leave it out"
            )
        if by_hardness and not self.judge.held_back:
            raise ValueError(
                "generate.variants_by_hardness: hardness is measured on training images that the judge has not learned "
                "from, and judge.held_back is 0; give 0.2, or leave it out"
            )

    def _check_views(self) -> None:
        """Raise ValueError if photometric copies are to be trained on that are not there, or that change nothing."""
        share = self.adapt.view_share if self.adapt.steps else 0
        asked = {"layout.views": self.layout.views, "adapt.view_share": share}
        if self.conditioning == "label" and (wrong := [name for name, is_asked in asked.items() if is_asked]):
            raise ValueError(
                f"{wrong[0]}: photometric copies of an image have the same labels, which is all that "
                f"conditioning=label reads; give {' and '.join(f'{name}=0' for name in wrong)}"
            )
        if share and not self.layout.views:
            raise ValueError(
                f"adapt.view_share: {share} of the training samples need the layout of a photometric "
                "copy; give layout.views of 1 or more, or adapt.view_share 0"
            )

    def _check_guidance(self) -> None:
        """Raise ValueError if scales of single variants do not fit how images are sampled."""
        scales = self.generate.guidance_scales or ()
        if scales and self.generator.max_loss is not None:
            raise ValueError(
                "generate.guidance_scales: generator.max_loss calibrates with generator.guidance_scale alone; leave "
                "one of them out"
            )
        if 1 in scales and self.generator.text_guidance_scale is not None:
            raise ValueError(
                "generate.guidance_scales: 1 is no guidance, which generator.text_guidance_scale is added to; give "
                "scales above 1"
            )

    def _check_splits(self) -> None:
        """Raise ValueError if a section names a split that another does not read, or does not generate."""
        if unknown := sorted(set(self.generate.splits) - set(self.dataset.splits)):
            raise ValueError(f"generate.splits: {unknown[0]!r} is not among dataset.splits {list(self.dataset.splits)}")
        if self.evaluate.split is not None and self.evaluate.split not in self.dataset.splits:
            raise ValueError(
                f"evaluate.split: {self.evaluate.split!r} is not among dataset.splits {list(self.dataset.splits)}; "
                "null measures nothing"
            )
        if self.evaluate.split == TRAIN_SPLIT:
            raise ValueError(
                f"evaluate.split: {TRAIN_SPLIT!r} is the split that everything is fitted on; name a held-out split"
            )
        needed: dict[str, str] = {}
        if self.evaluate.split is not None:
            needed[self.evaluate.split] = "evaluate.split"
            searched = self.search.candidates if self.search is not None else ()
            if any(parse_arm(mix).uses_synthetic for mix in (*self.downstream.mixes, *searched)):
                needed[TRAIN_SPLIT] = "the mixes with synthetic data"
        for split, reader in needed.items():
            if split not in self.generate.splits:
                raise ValueError(f"generate.splits: {list(self.generate.splits)} lacks {split!r}, which {reader} needs")


def config_class() -> type[Config]:
    """The configuration with the sections of all stages in the list, those of a user's own stages among them."""
    return _with_sections(tuple(STEPS))


@cache
def _with_sections(steps: tuple[type[Step], ...]) -> type[Config]:
    sections: dict[str, Any] = {
        step.section: (step.section_options, step.section_options())
        for step in steps
        if step.section and step.section_options is not None and step.section not in Config.model_fields
    }
    return create_model("Config", __base__=Config, **sections) if sections else Config
