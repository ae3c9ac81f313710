"""Steps that make one artifact."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pipeline.stages.step import Size, Step
from pipeline.stages.tools import Tools
from pipeline.store import JSON
from pipeline.workspace.artifact import Artifact, discard, read_record, require_own
from pipeline.workspace.workspace import Workspace


class ArtifactStep(Step):
    """A step that makes one artifact; a subclass gives its `inputs` and `build`.

    Attributes:
        kind: of the artifact.
        essence: patterns of the files that decide what is made from it; see `Artifact`.
        derived: whether it is a table or page that is made again when its inputs change, and not refused.
    """

    kind: ClassVar[str]
    essence: ClassVar[tuple[str, ...]] = ("*",)
    derived: ClassVar[bool] = False

    @abstractmethod
    def inputs(self) -> Mapping[str, JSON]:
        """Everything that the artifact depends on; called only when the stages that it reads are done."""

    @abstractmethod
    def build(self, path: Path, tools: Tools, facts: dict[str, JSON]) -> str:
        """Write the artifact to a path and fill in facts to record; returns what was done, in a few words."""

    def clean(self) -> None:
        """Remove what else the step has made."""

    def finished(self, undone: frozenset[str]) -> int:  # noqa: ARG002
        """Units that are finished and do not depend on the stages ``undone``."""
        return 0

    @classmethod
    def path_in(cls, workspace: Workspace) -> Path:
        """Path of the artifact."""
        return workspace.artifact(cls.output)

    @property
    def path(self) -> Path:
        """Path of the artifact in this run."""
        return self.path_in(self.workspace)

    def artifact(self) -> Artifact:
        """The artifact with its inputs."""
        return Artifact(self.path, self.kind, self.inputs(), self.essence, self.input_names)

    @classmethod
    def digest_in(cls, workspace: Workspace) -> JSON | None:
        """See `Step.digest_in`."""
        record = read_record(cls.path_in(workspace))
        return record.digest if record else None

    @classmethod
    def inputs_in(cls, workspace: Workspace, name: str) -> Mapping[str, JSON]:
        """See `Step.inputs_in`."""
        return recorded_inputs(workspace, name)

    def is_done(self) -> bool:
        """Whether the artifact is there, made from these inputs."""
        self.refuse_others()
        return self.artifact().is_done()

    def refuse_others(self) -> None:
        """Check that the artifact was made from these inputs, unless a run makes it again."""
        if not self.derived:
            self.artifact().require_match(self.name)

    def reusable(self, undone: frozenset[str], *, blocked: bool) -> int:  # noqa: ARG002 - see `Step`
        """The units that are finished."""
        return self.finished(undone)

    def run(self, tools: Tools) -> str:
        """Make the artifact."""
        facts: dict[str, JSON] = {}
        with self.artifact().building(facts) as path:
            return self.build(path, tools, facts)

    def require_own(self) -> None:
        """See `Step.require_own`."""
        require_own(self.path)

    def reset(self) -> None:
        """Remove the artifact and the files of interrupted attempts."""
        discard(self.path)
        self.clean()

    def size(self) -> Size:
        """One unit, unless a subclass has more."""
        return Size(1, 0)

    def parts(self) -> int:
        """As many as units, unless a subclass divides them."""
        return self.size().units

    def is_whole(self) -> bool:
        """Whether the artifact is there."""
        return read_record(self.path) is not None

    def is_begun(self) -> bool:
        """Whether the artifact is there."""
        return self.is_whole()

    def made(self) -> int:
        """All units if the artifact is there."""
        return self.size().units if self.is_whole() else 0


def recorded_inputs(workspace: Workspace, name: str) -> Mapping[str, JSON]:
    """What an artifact in the workspace was made from; empty if it is missing."""
    record = read_record(workspace.artifact(name))
    return record.inputs if record else {}
