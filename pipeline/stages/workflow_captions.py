"""A side path of the way: captions by a model, where the configuration names one."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.config import Config
from pipeline.engine import Source, Stage
from pipeline.stages import extract
from pipeline.stages.caption import Caption
from pipeline.stages.reading import CaptionedSource, PairedSource, StoreSource, keys_by_shard
from pipeline.stages.steps import Step, StorePlan, StoreStep, resources_of
from pipeline.stages.workflow_layouts import Layouts
from pipeline.store import JSON, Manifest, Store
from pipeline.workspace.model_files import identity
from pipeline.workspace.workspace import Workspace, content_digest


@dataclass
class Captions:
    """Plans the stage caption of one run, and gives what it makes to others."""

    config: Config
    workspace: Workspace
    layouts: Layouts

    def steps(self) -> list[Step]:
        """The stage, or none."""
        if self.config.captions.model is None:
            return []
        size = self.layouts.data.size
        return [StoreStep("caption", self.workspace.captions, self.plan, self.work, size, reads=("shard",))]

    def plan(self) -> StorePlan:
        """The store of captions: the shards of the real store once more."""
        settings, real = self.config.captions, self.layouts.real
        assert settings.model is not None
        inputs: dict[str, JSON] = {
            "real": content_digest(real),
            "model": identity(settings.model),
            "max_new_tokens": settings.max_new_tokens,
            "prompt": settings.prompt,
        }
        manifest = Manifest("captions", None, {}, inputs)
        return StorePlan(manifest, sorted(real.done()), lambda: extract.plan(keys_by_shard(real)))

    def work(self) -> tuple[Stage, Source]:
        """Stage and source of caption."""
        settings = self.config.captions
        assert settings.model is not None
        of_model = resources_of(self.config, "caption").of_model
        stage = Caption(settings.model, settings.max_new_tokens, settings.prompt, **of_model)
        return stage, StoreSource(self.workspace.real, ("image",))

    def inputs(self) -> dict[str, JSON]:
        """What of the captions decides about what is made with them; nothing where there are none."""
        if self.config.captions.model is None:
            return {}
        return {"captions": content_digest(Store.open(self.workspace.captions))}

    def added_to(self, pairs: PairedSource) -> PairedSource | CaptionedSource:
        """Samples with their captions, where there are any."""
        if self.config.captions.model is None:
            return pairs
        return CaptionedSource(pairs, StoreSource(self.workspace.captions, ()))
