"""Results that are not stores: a folder or a file, with a record of what it was made from."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path

from augment.errors import UserError
from augment.files import write_whole
from pipeline.store.canonical import JSON, file_sha256, fingerprint
from pipeline.store.errors import CorruptStore
from pipeline.workspace.mismatch import describe_changes

RECORD = "artifact.json"


class ArtifactMismatch(UserError):  # noqa: N818 - it names the object at fault
    """An artifact was made from other inputs than the ones asked for."""


@dataclass(frozen=True)
class Record:
    """What `artifact.json` says.

    Attributes:
        kind: what it is, e.g. `basis`.
        fingerprint: of kind and inputs.
        inputs: everything that its content depends on.
        files: relative path -> sha256 of its bytes.
        digest: sha256 over the files that decide what is made from it; the inputs of that hold this digest.
        facts: figures of the result, e.g. explained variance.
    """

    kind: str
    fingerprint: str
    inputs: Mapping[str, JSON]
    files: Mapping[str, str]
    digest: str
    facts: Mapping[str, JSON]


@dataclass(frozen=True)
class Artifact:
    """A result at `path`, a folder (or a file, if the path has a suffix), as a function of `inputs`.

    The record is written last, and a folder gets its name only when it is whole, so that what exists is complete.

    Attributes:
        path: of the folder or file.
        kind: what it is.
        inputs: everything that its content depends on.
        essence: patterns of the files that decide what is made from it, which logs and pictures do not.
        input_names: what the inputs are called in messages; see `describe_changes`.
    """

    path: Path
    kind: str
    inputs: Mapping[str, JSON]
    essence: tuple[str, ...] = ("*",)
    input_names: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Sha256 of kind and inputs."""
        return fingerprint({"kind": self.kind, "inputs": dict(self.inputs)})

    @property
    def scratch(self) -> Path:
        """Where it is written before it is whole; what a kill leaves there is gone on with."""
        return self.path.with_name(f".{self.path.name}-{self.fingerprint[:12]}.partial")

    def record(self) -> Record | None:
        """The record at the path, or None where there is none."""
        return read_record(self.path)

    def is_done(self) -> bool:
        """Whether the result is there, made from these inputs."""
        record = self.record()
        return record is not None and record.fingerprint == self.fingerprint

    def require_match(self, stage: str) -> None:
        """Check that the artifact at the path, if there is one, was made from these inputs.

        Raises:
            ArtifactMismatch: it was not; the message says what differs and how to go on.
        """
        record = self.record()
        if record is None:
            require_own(self.path)
        elif record.fingerprint != self.fingerprint:
            raise ArtifactMismatch(
                f"{self.path} was made from other inputs ({self._changes(record)}): "
                f"choose another --workspace, or make it and all that follows again with lumen run --redo {stage}"
            )

    def note(self, facts: Mapping[str, JSON]) -> None:
        """Record these facts of the artifact, which must be there, in place of the former ones."""
        record = self.record()
        assert record is not None
        write_record(record_path(self.path), replace(record, facts=facts))

    def _changes(self, record: Record) -> str:
        return describe_changes(self.input_names, record.inputs, self.inputs)

    @contextmanager
    def building(self, facts: dict[str, JSON] | None = None) -> Iterator[Path]:
        """Give a path to write to, and commit it when the block ends without an exception.

        After a failure the files stay for the same inputs, so that a training can resume.

        Args:
            facts: recorded when the block ends, so that the block may fill them.
        """
        require_own(self.path)
        scratch = self.scratch
        (scratch.parent if self.path.suffix else scratch).mkdir(parents=True, exist_ok=True)
        yield scratch
        files = hash_files(scratch, self.path.name)
        matter = {name: found for name, found in files.items() if any(fnmatch(name, p) for p in self.essence)}
        digest = fingerprint(matter)
        record = Record(self.kind, self.fingerprint, self.inputs, files, digest, facts or {})
        if not self.path.suffix:
            write_record(scratch / RECORD, record)
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            # A kill between the two files must not leave new bytes with the record of the old ones.
            record_path(self.path).unlink(missing_ok=True)
        scratch.replace(self.path)
        if self.path.suffix:
            write_record(record_path(self.path), record)


def record_path(path: Path) -> Path:
    """Path of the record of the artifact at `path`."""
    return path.with_suffix(".json") if path.suffix else path / RECORD


def read_record(path: Path) -> Record | None:
    """The record of the artifact at `path`, or None where there is none.

    Raises:
        CorruptStore: it is damaged.
    """
    remedy = "remove the artifact, and the next run makes it again"
    try:
        content = json.loads(record_path(path).read_text())
        # Records of the first versions have no seal.
        seal = content.pop("seal", None)
        record = Record(**content)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError) as error:
        raise CorruptStore(f"{record_path(path)}: not a record ({error}); {remedy}") from error
    if seal is not None and seal != seal_of(content):
        raise CorruptStore(f"{record_path(path)}: the record does not match its own seal; {remedy}")
    return record


def require_own(path: Path) -> None:
    """Check that no folder that is not an artifact is in the place of one.

    Raises:
        UserError: there is one.
    """
    if path.is_dir() and read_record(path) is None and any(path.iterdir()):
        raise UserError(f"{path} exists and has no {RECORD}: move it away or take another --workspace")


def write_record(path: Path, record: Record) -> None:
    content = json.loads(json.dumps(asdict(record)))
    write_whole(path, json.dumps({**content, "seal": seal_of(content)}, indent=2, sort_keys=True) + "\n")


def seal_of(content: Mapping[str, JSON]) -> str:
    """Sha256 over the whole record, as read from JSON; it shows that a record was changed."""
    # Not the canonical JSON of fingerprints: a fact may be NaN, such as a score without a measurement.
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def discard(path: Path) -> None:
    """Remove the artifact at `path`, its record and the files of interrupted attempts.

    Raises:
        UserError: the folder is not an artifact.
    """
    require_own(path)
    # The second pattern is that of a scratch file which a writer of the first one has left.
    left = (found for pattern in (f".{path.name}-*.partial", f"..{path.name}-*") for found in path.parent.glob(pattern))
    for item in (path, record_path(path), *left):
        if item.is_dir():
            shutil.rmtree(item)
        else:
            item.unlink(missing_ok=True)


def hash_files(path: Path, name: str) -> dict[str, str]:
    """Sha256 of the file at `path`, called `name`, or of every file below it except the record."""
    if path.is_file():
        return {name: file_sha256(path)}
    files = sorted(item for item in path.rglob("*") if item.is_file())
    return {item.relative_to(path).as_posix(): file_sha256(item) for item in files if item != path / RECORD}


def verify_artifact(path: Path) -> tuple[int, list[str]]:
    """Number of files of an artifact that were hashed, and a line for each that is missing, changed or unrecorded."""
    try:
        record = read_record(path)
    except CorruptStore as error:
        return 0, [str(error)]
    if record is None:
        return 0, [f"{path}: no record"]
    found = hash_files(path, path.name) if path.exists() else {}
    faults = [f"{path}: {name} is missing" for name in record.files if name not in found]
    faults += [f"{path}: {name} is not in the record" for name in found if name not in record.files]
    changed = [name for name, digest in record.files.items() if found.get(name, digest) != digest]
    return len(found), faults + [f"{path}: {name} has changed" for name in changed]
