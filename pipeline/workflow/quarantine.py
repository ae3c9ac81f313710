"""Every sample of a workspace that is in quarantine, with the whole reason."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from augment.errors import UserError
from pipeline.engine import top_reasons
from pipeline.stages.registry import store_steps
from pipeline.store import JSON, Store
from pipeline.store.sample import kind_of
from pipeline.workspace.workspace import Workspace


@dataclass(frozen=True)
class Quarantined:
    """A sample that a stage could not read, process or write; ``reason`` starts with its kind and a colon."""

    stage: str
    key: str
    reason: str
    shard: str
    traceback: str

    def to_json(self) -> dict[str, JSON]:
        """All that is known of it, as plain values."""
        return {
            "stage": self.stage,
            "key": self.key,
            "kind": kind_of(self.reason),
            "reason": self.reason,
            "shard": self.shard,
            "traceback": self.traceback,
        }


def quarantined(root: Path, stage: str | None = None) -> list[Quarantined]:
    """The quarantined samples of all stages, or of one, in the order of stages, shards and samples.

    Raises:
        UserError: the folder is not a workspace, or the stage writes no store.
        CorruptStore: a store is damaged.
    """
    space = Workspace.at(root)
    stores = {step.name: step.url_in(space) for step in store_steps()}
    if stage is not None and stage not in stores:
        raise UserError(
            f"--stage {stage}: it writes no store and has no quarantine; the stages that do are {', '.join(stores)}"
        )
    there = {name: url for name, url in stores.items() if Store.is_at(url)}
    if not there and not space.config.is_file():
        raise UserError(f"{root} is not a workspace: it has no store; give the folder that lumen run wrote to")
    return [
        Quarantined(name, row["key"], row["reason"], row["shard"], row["traceback"])
        for name, url in there.items()
        if stage in (None, name)
        for row in Store.open(url).quarantine().to_pylist()
    ]


def lines_of(found: Sequence[Quarantined], root: Path) -> list[str]:
    """A line for each sample, and for each stage how many there are and what runs them again."""
    lines = [f"{each.stage:<8}  {each.key}: {each.reason}" for each in found]
    for stage in dict.fromkeys(each.stage for each in found):
        kinds = Counter(kind_of(each.reason) for each in found if each.stage == stage)
        retry = f"lumen retry {shlex.quote(str(root))} {stage}"
        lines.append(
            f"{stage}: {kinds.total()} quarantined ({top_reasons(kinds, len(kinds))}); fix the cause, then {retry}"
        )
    return lines or ["nothing is in quarantine"]
