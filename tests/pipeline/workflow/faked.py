"""Runs in which no model is loaded and nothing is trained: each unit writes what shows that it was done."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from downstream.results import RESULT
from pipeline.config import Config
from pipeline.stages.artifact_step import ArtifactStep
from pipeline.stages.compare import CompareStep
from pipeline.stages.curate import CurateStep
from pipeline.stages.step import StageName
from pipeline.stages.store_step import StoreStep
from pipeline.stages.tools import Tools
from pipeline.store import Sample


class Work:
    """Steps that make as good as empty shards, artifacts and trainings, count them, and stop after so many."""

    def __init__(self) -> None:
        self.done: Counter[StageName] = Counter()
        self.begun: list[StageName] = []
        self.most: int | None = None

    def unit(self, stage: StageName) -> None:
        if self.most is not None and self.done.total() >= self.most:
            raise KeyboardInterrupt
        self.done[stage] += 1

    def store(self, step: StoreStep, _tools: Tools) -> str:
        self.begun.append(step.name)
        if step.name == "curate":
            assert isinstance(step, CurateStep)
            step.check_prepared()
            if not step.scale().is_done():
                with step.scale().building() as folder:
                    (folder / "scale.json").write_text("{}")
        plan = step.plan()
        store = step.open(plan.manifest)
        store.note_asked(plan.shards)
        for unit in plan.units():
            if unit.shard not in store.done():
                self.unit(step.name)
                suffix = f"_{unit.shard}" if step.name == "generate" else ""
                samples = [Sample(f"{key}{suffix}", metadata={"split": unit.shard.split("-")[0]}) for key in unit.keys]
                store.write_shard(unit.shard, samples, unit=unit.fingerprint)
        return "made"

    def artifact(self, step: ArtifactStep, _tools: Tools) -> str:
        self.begun.append(step.name)
        if step.name == "compare":
            assert isinstance(step, CompareStep)
            for training in step.trainings():
                if not (training.folder / RESULT).is_file():
                    self.unit(step.name)
                    training.folder.mkdir(parents=True)
                    (training.folder / RESULT).write_text("{}")
        else:
            self.unit(step.name)
        artifact = step.artifact()
        with artifact.building() as path:
            if step.name == "fit":
                (path / "layouts").mkdir()
                (path / "layouts" / "basis.json").write_text(json.dumps({"digest": artifact.fingerprint}))
            (path if step.path.suffix else path / "content").write_text(artifact.fingerprint)
        return "made"


def changed(base: dict[str, Any], space: Path, values: dict[str, Any]) -> Config:
    """The configuration with other values of some keys."""
    content = json.loads(json.dumps({**base, "workspace": str(space)}))
    for path, value in values.items():
        *sections, key = path.split(".")
        section = content
        for name in sections:
            section = section[name]
        section[key] = value
    return Config.model_validate(content)
