"""Steps that write one store."""

from __future__ import annotations

import shlex
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from augment.errors import UserError
from pipeline.engine import Plan, RetrySummary, Source, Stage, WorkUnit, retry_store_stage, run_store_stage
from pipeline.stages.artifact_step import recorded_inputs
from pipeline.stages.dataset_card import write_card
from pipeline.stages.reading import keys_by_shard
from pipeline.stages.step import Step
from pipeline.stages.tools import Tools
from pipeline.store import JSON, FingerprintMismatch, Manifest, Store, Totals
from pipeline.store.ai_mark import PAINTED
from pipeline.workspace.content import content_digest
from pipeline.workspace.mismatch import describe_changes
from pipeline.workspace.workspace import Workspace


@dataclass(frozen=True)
class StorePlan:
    """A store to write: its manifest, all its shards, and the units that make them, for which indexes are read."""

    manifest: Manifest
    shards: Sequence[str]
    units: Callable[[], Sequence[WorkUnit]]


def plan_like(source: Store, manifest: Manifest) -> StorePlan:
    """A store with one shard for each shard of another, made from the same keys."""

    def units() -> Plan:
        return Plan.of(WorkUnit(shard, keys) for shard, keys in keys_by_shard(source).items())

    return StorePlan(manifest, sorted(source.done()), units)


class StoreStep(Step):
    """A step that writes a store; a subclass gives its `plan`, `work` and `size`."""

    @abstractmethod
    def plan(self) -> StorePlan:
        """The store to write; called only when the stages that it reads are done."""

    @abstractmethod
    def work(self) -> tuple[Stage, Source]:
        """The stage, and the source that it reads from."""

    def prepare(self, tools: Tools) -> None:
        """Make what the stage reads, if that is part of the step."""

    def check_prepared(self) -> None:
        """Raise UserError if what `prepare` makes is there, made from other inputs."""

    def clean(self) -> None:
        """Remove what `prepare` makes."""

    def describe(self, store: Store) -> None:
        """Write the card of a store of painted images, for its readers."""
        if store.manifest.kind in PAINTED:
            write_card(store, self.config)

    def remark(self) -> str:
        """What the user should know before the step runs, in a line or more; usually empty."""
        return ""

    @classmethod
    def url_in(cls, workspace: Workspace) -> str:
        """URL of the store."""
        return workspace.store(cls.output)

    @property
    def url(self) -> str:
        """URL of the store in this run."""
        return self.url_in(self.workspace)

    @property
    def store(self) -> Store:
        """The store, which must exist."""
        return Store.open(self.url)

    @classmethod
    def digest_in(cls, workspace: Workspace) -> JSON | None:
        """See `Step.digest_in`; a store that lacks shards has none, as the next run makes them again as they were."""
        url = cls.url_in(workspace)
        if not Store.is_at(url):
            return None
        store = Store.open(url)
        return content_digest(store) if store.is_whole() else None

    @classmethod
    def inputs_in(cls, workspace: Workspace, name: str) -> Mapping[str, JSON]:
        """See `Step.inputs_in`."""
        if name in cls.prepared:
            return recorded_inputs(workspace, name)
        url = cls.url_in(workspace)
        return Store.open(url).manifest.inputs if Store.is_at(url) else {}

    def is_done(self) -> bool:
        """Whether every shard of the plan has its receipt."""
        plan = self._matching_plan()
        if plan is None:
            return False
        done, planned = self.store.done(), set(plan.shards)
        if extra := done - planned:
            raise FingerprintMismatch(
                f"{self.url} holds {len(extra)} shards that are not requested, such as {min(extra)}, and later stages "
                f"would use them: request them too, choose another workspace, or --redo {self.name}"
            )
        return done >= planned

    def is_begun(self) -> bool:
        """Whether the store is there."""
        return Store.is_at(self.url)

    def is_whole(self) -> bool:
        """Whether the store is there with every shard that its last run planned."""
        return Store.is_at(self.url) and self.store.is_whole()

    def refuse_others(self) -> None:
        """Check that the store, or what was prepared for it, was made from the inputs requested."""
        self._matching_plan()

    def _matching_plan(self) -> StorePlan | None:
        """The plan, once the store is known to match it; None if there is no store."""
        self.require_own()
        if not Store.is_at(self.url):
            self.check_prepared()
            return None
        plan = self.plan()
        self.require_match(plan.manifest)
        return plan

    def reusable(self, undone: frozenset[str], *, blocked: bool) -> Totals:  # noqa: ARG002 - see `Step`
        """The shards that exist, unless an input of the store is not known yet."""
        return Totals() if blocked else self.made()

    def open(self, manifest: Manifest) -> Store:
        """The store, created if it is missing.

        Raises:
            FingerprintMismatch: it was made from other inputs; the message says what differs and how to go on.
        """
        self.require_own()
        if Store.is_at(self.url):
            self.require_match(manifest)
        return Store.create(self.url, manifest)

    def require_match(self, manifest: Manifest) -> None:
        """Check that the existing store was made from these inputs."""
        store = self.store
        if store.manifest.fingerprint == manifest.fingerprint:
            return
        changes = describe_changes(self.input_names, store.manifest.content, manifest.content)
        if store.manifest.inputs.get("listing") != manifest.inputs.get("listing"):
            made = store.totals()
            changes += f"; it holds {made.samples + made.failures} samples, {self.size().samples} are requested"
        raise FingerprintMismatch(
            f"{self.url} was made from other inputs ({changes}): "
            f"choose another --workspace, or make it and all that follows again with lumen run --redo {self.name}"
        )

    def require_own(self) -> None:
        """Raise UserError if a folder that is not a store is in the store's place."""
        folder = Path(self.url)
        if "://" in self.url or not folder.is_dir() or Store.traces_at(self.url):
            return
        if any(not path.name.startswith(".") for path in folder.iterdir()):
            raise UserError(f"{folder} exists and is not a store: move it away or take another --workspace")

    @contextmanager
    def _mismatch_with_remedy(self) -> Iterator[None]:
        """Add to a mismatch how to remove the store."""
        try:
            yield
        except FingerprintMismatch as error:
            raise FingerprintMismatch(f"{error}, e.g. with --redo {self.name}") from error

    def run(self, tools: Tools) -> str:
        """Write the shards that are missing."""
        self.prepare(tools)
        plan = self.plan()
        store = self.open(plan.manifest)
        stage, source = self.work()
        with self._mismatch_with_remedy():
            remedy = self.remedy()
            summary = run_store_stage(
                stage, source, store, plan.units(), tools.executor, tools.budget, tools.report, remedy
            )
        self.describe(store)
        return str(summary).removeprefix(f"{self.name}: ") + (f"; {remedy}" if summary.failures else "")

    def remedy(self) -> str:
        """The commands that list the quarantined samples and run them again."""
        space = shlex.quote(str(self.workspace.root))
        return (
            f"lumen quarantine {space} --stage {self.name} lists them all; fix the cause, then "
            f"lumen retry {space} {self.name}"
        )

    def retry(self, tools: Tools) -> RetrySummary:
        """Run the quarantined samples of the existing shards again."""
        plan = self.plan()
        stage, source = self.work()
        store = self.open(plan.manifest)
        summary = retry_store_stage(stage, source, store, plan.units(), tools.executor, tools.report)
        self.describe(store)
        return summary

    def reset(self) -> None:
        """Remove the store, and what was prepared for it."""
        self.require_own()
        Store.remove(self.url)
        self.clean()

    def parts(self) -> int:
        """All shards of the plan."""
        return self.size().units

    def made(self) -> Totals:
        """Sums over the committed shards."""
        return self.store.totals() if Store.is_at(self.url) else Totals()
