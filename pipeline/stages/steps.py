"""What a workflow is made of: steps that write one store or artifact each, and know whether they are done."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augment.errors import UserError
from pipeline.config import Config, StageName
from pipeline.engine.retry_stage import RetrySummary, retry_store_stage
from pipeline.engine.run_stage import run_store_stage
from pipeline.engine.stage import Resources, Source, Stage, WorkUnit
from pipeline.stages.step import Size, Step, Tools
from pipeline.store import JSON, FingerprintMismatch, Manifest, Store, Totals
from pipeline.workspace.artifact import Artifact, discard, read_record
from pipeline.workspace.mismatch import told

__all__ = ["ArtifactStep", "Size", "StageSettings", "Step", "StorePlan", "StoreStep", "Tools", "resources_of"]


def nothing(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class StorePlan:
    """A store to write: what it is, every shard of it, and the units that make them, for which indexes are read."""

    manifest: Manifest
    shards: Sequence[str]
    units: Callable[[], Sequence[WorkUnit]]


@dataclass
class StoreStep:
    """A step that writes a store.

    Attributes:
        name: of the stage.
        url: of the store.
        plan: what the store shall be; asked only when the steps before are done.
        work: the stage and what it reads from.
        expected: how much that is, known from the beginning.
        prepare: makes what the stage reads, where that is part of the step.
        clean: removes it.
        grows_with: the stage that it makes a shard of the same name of each shard of; as that one may grow, what its
            shards hold is no input of the store.
        remark: says what should be known of it beforehand, in a line; empty where there is nothing to say.
        reads: the stages that its inputs and its plan depend on, other than the one that it grows with.
        check_prepared: raises UserError where something that `prepare` makes is there, made from other inputs.
    """

    name: StageName
    url: str
    plan: Callable[[], StorePlan]
    work: Callable[[], tuple[Stage, Source]]
    expected: Callable[[], Size]
    prepare: Callable[[Tools], None] = nothing
    clean: Callable[[], None] = nothing
    grows_with: StageName | None = None
    remark: Callable[[], str] = str
    reads: tuple[StageName, ...] = ()
    check_prepared: Callable[[], None] = nothing

    def is_done(self) -> bool:
        """Whether every shard of the plan has its receipt."""
        plan = self._plan_of_what_is_there()
        if plan is None:
            return False
        done, planned = Store.open(self.url).done(), set(plan.shards)
        if extra := done - planned:
            raise FingerprintMismatch(
                f"{self.url} holds {len(extra)} shards that are not asked for, such as {min(extra)}, and all that "
                f"follows would use them: ask for them too, choose another workspace, or --redo {self.name}"
            )
        return done >= planned

    def is_begun(self) -> bool:
        """Whether the store is there."""
        return Store.is_at(self.url)

    def is_whole(self) -> bool:
        """Whether the store is there with every shard that its last run was asked for."""
        return Store.is_at(self.url) and Store.open(self.url).is_whole()

    def refuse_others(self) -> None:
        """Check that the store, or what was prepared for it, was made from the inputs asked for."""
        self._plan_of_what_is_there()

    def _plan_of_what_is_there(self) -> StorePlan | None:
        self.require_own()
        if not Store.is_at(self.url):
            self.check_prepared()
            return None
        plan = self.plan()
        self.require_match(plan.manifest)
        return plan

    def reusable(self, undone: frozenset[StageName], *, blocked: bool) -> Totals:  # noqa: ARG002 - see `Step`
        """The shards there are, unless an input of the store is not known yet."""
        return Totals() if blocked else self.made()

    def open(self, manifest: Manifest) -> Store:
        """The store, made where it is absent.

        Raises:
            FingerprintMismatch: it was made from other inputs; the message says what differs and what can be done.
        """
        self.require_own()
        if Store.is_at(self.url):
            self.require_match(manifest)
        return Store.create(self.url, manifest)

    def require_match(self, manifest: Manifest) -> None:
        """Check that the store that is there was made from these inputs."""
        store = Store.open(self.url)
        if store.manifest.fingerprint == manifest.fingerprint:
            return
        changes = told(manifest.kind, store.manifest.content, manifest.content)
        if store.manifest.inputs.get("listing") != manifest.inputs.get("listing"):
            made = store.totals()
            changes += f"; it holds {made.samples + made.failures} samples, {self.size().samples} are asked for"
        raise FingerprintMismatch(
            f"{self.url} was made from other inputs ({changes}): "
            f"choose another --workspace, or make it and all that follows anew with --redo {self.name}"
        )

    def require_own(self) -> None:
        """Raise UserError where a folder that is no store is in the store's place."""
        folder = Path(self.url)
        if "://" in self.url or not folder.is_dir() or Store.left_at(self.url):
            return
        if any(not path.name.startswith(".") for path in folder.iterdir()):
            raise UserError(f"{folder} exists and is no store: move it away or take another --workspace")

    @contextmanager
    def way_out(self) -> Iterator[None]:
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
        with self.way_out():
            remedy = self.remedy(tools.config.workspace)
            summary = run_store_stage(
                stage, source, store, plan.units(), tools.executor, tools.budget, tools.report, remedy
            )
        return str(summary).removeprefix(f"{self.name}: ") + (f"; {remedy}" if summary.failures else "")

    def remedy(self, workspace: Path) -> str:
        """What lists the quarantined samples, and what runs them again."""
        space = shlex.quote(str(workspace))
        return (
            f"lumen quarantine {space} --stage {self.name} lists them all; fix the cause, then "
            f"lumen retry {space} {self.name}"
        )

    def retry(self, tools: Tools) -> RetrySummary:
        """Run the quarantined samples of the shards there are again."""
        plan = self.plan()
        stage, source = self.work()
        return retry_store_stage(stage, source, self.open(plan.manifest), plan.units(), tools.executor, tools.report)

    def reset(self) -> None:
        """Remove the store, and what was prepared for it."""
        self.require_own()
        Store.remove(self.url)
        self.clean()

    def size(self) -> Size:
        """All shards and samples of the plan."""
        return self.expected()

    def parts(self) -> int:
        """All shards of the plan."""
        return self.size().units

    def made(self) -> Totals:
        """Sums over the committed shards."""
        return Store.open(self.url).totals() if Store.is_at(self.url) else Totals()


@dataclass
class ArtifactStep:
    """A step that makes one artifact.

    Attributes:
        name: of the stage.
        artifact: what it shall be; asked only when the steps before are done.
        path: of the artifact.
        build: writes it to the path given, fills the facts given, returns what was done in a few words.
        units: how many pieces of work it takes.
        derived: a table or page, made again when its inputs have changed; anything else is then a mismatch.
        clean: removes what else the step has made.
        reads: the stages that its inputs depend on.
        finished: how many units are finished already, of those that depend on none of the stages given.
        begun: whether any unit is finished, whatever it was made from.
        shared: how many pieces of work its workers share, where that is not `units`.
    """

    name: StageName
    path: Path
    artifact: Callable[[], Artifact]
    build: Callable[[Path, Tools, dict[str, JSON]], str]
    units: int = 1
    derived: bool = False
    clean: Callable[[], None] = nothing
    reads: tuple[StageName, ...] = ()
    finished: Callable[[frozenset[StageName]], int] | None = None
    begun: Callable[[], bool] = bool
    shared: Callable[[], int] | None = None
    grows_with: StageName | None = None

    def is_done(self) -> bool:
        """Whether the artifact is there, made from the inputs there are."""
        self.refuse_others()
        return self.artifact().is_done()

    def refuse_others(self) -> None:
        """Check that the artifact was made from the inputs there are, unless it is simply made again."""
        if not self.derived:
            self.artifact().require_match(self.name)

    def reusable(self, undone: frozenset[StageName], *, blocked: bool) -> int:  # noqa: ARG002 - see `Step`
        """The units that are finished and that the rest can be added to."""
        return self.finished(undone) if self.finished else 0

    def run(self, tools: Tools) -> str:
        """Make the artifact."""
        facts: dict[str, JSON] = {}
        with self.artifact().building(facts) as path:
            return self.build(path, tools, facts)

    def reset(self) -> None:
        """Remove the artifact and what interrupted attempts have left."""
        discard(self.path)
        self.clean()

    def size(self) -> Size:
        """The units of the artifact."""
        return Size(self.units, 0)

    def parts(self) -> int:
        """What the workers share."""
        return self.shared() if self.shared else self.units

    def is_whole(self) -> bool:
        """Whether the artifact is there."""
        return read_record(self.path) is not None

    def is_begun(self) -> bool:
        """Whether the artifact is there, or any unit of it."""
        return self.is_whole() or self.begun()

    def made(self) -> int:
        """All units where the artifact is there."""
        return self.units if read_record(self.path) else 0


@dataclass(frozen=True)
class StageSettings:
    """What a stage runs with; none of it is part of a fingerprint."""

    resources: Resources
    device: str
    batch_size: int

    @property
    def of_stage(self) -> dict[str, Any]:
        """Arguments of a stage without a model."""
        return {"resources": self.resources, "batch_size": self.batch_size}

    @property
    def of_task(self) -> dict[str, Any]:
        """Arguments of a task that trains."""
        return {"resources": self.resources, "device": self.device}

    @property
    def of_model(self) -> dict[str, Any]:
        """Arguments of a stage that applies a model."""
        return {"resources": self.resources, "device": self.device, "batch_size": self.batch_size}


def resources_of(config: Config, stage: StageName) -> StageSettings:
    """What the configuration gives to `stage`."""
    resources = config.cluster.resources(stage)
    return StageSettings(resources, "cuda" if resources.num_gpus else "cpu", resources.batch_size)
