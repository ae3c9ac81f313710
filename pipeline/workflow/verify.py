"""Whether stores and artifacts are what they were when they were made, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from augment.errors import UserError
from pipeline.stages.images import SCENES
from pipeline.stages.registry import artifacts_in, stores_in
from pipeline.store import Store, StoreFindings, examine_store
from pipeline.store.paths import MANIFEST
from pipeline.workflow.outdated import outdated
from pipeline.workspace.artifact import record_path, verify_artifact
from pipeline.workspace.workspace import Workspace


@dataclass(frozen=True)
class Verified:
    """What was checked and what was not.

    Attributes:
        checked: a line for each store and artifact, its name first.
        unchecked: names of other files and folders in the workspace.
        faults: a line for each.
        outdated: results that were made from something that has changed since, or None; none of their bytes is wrong.
    """

    checked: Sequence[str]
    unchecked: Sequence[str]
    faults: Sequence[str]
    outdated: str | None = None


def verify(path: str) -> Verified:
    """Check a store, or every store and artifact of a workspace.

    Raises:
        UserError: there is neither a store nor a workspace.
    """
    if Store.traces_at(path):
        found = examine_store(path)
        return Verified([store_line(path.rstrip("/").rpartition("/")[-1], found)], [], found.faults)
    space = Workspace.at(Path(path))
    stores = {name: url for name, url in stores_in(space).items() if Store.traces_at(url)}
    artifacts = [item for item in artifacts_in(space) if record_path(item).is_file() or must_have_record(item)]
    if not stores and not artifacts:
        raise UserError(f"{path} is neither a store ({MANIFEST} is missing) nor a workspace of lumen run")
    checked: list[str] = []
    faults: list[str] = []
    for name, url in stores.items():
        found = examine_store(url)
        checked.append(store_line(name, found))
        faults += [f"{name}: {fault}" for fault in found.faults]
    for item in artifacts:
        files, wrong = verify_artifact(item)
        checked.append(f"{item.name}: {files} files")
        faults += wrong
    looked_at = {*stores, *(item.name for item in artifacts), *(record_path(item).name for item in artifacts)}
    others = {item.name for item in space.root.iterdir() if not item.name.startswith(".")} - looked_at
    # Damaged results do not say reliably what they were made from.
    return Verified(checked, sorted(others), faults, None if faults else outdated(space))


def must_have_record(item: Path) -> bool:
    """Whether an existing folder can only be an artifact that has lost its record.

    A folder gets its name and its record at once, but scenes may be a dataset of somebody else; a file that a kill has
    left without its record is made again.
    """
    return item.is_dir() and item.name != SCENES


def store_line(name: str, found: StoreFindings) -> str:
    """What was checked in a store."""
    line = f"{name}: {found.shards} shards, {found.samples} samples"
    return f"{line}; {found.unmade} of {found.asked} shards are not made yet" if found.unmade else line
