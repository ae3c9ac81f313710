"""What in a workspace was made of something that has changed since, as a retry changes a store."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from pipeline.config import StageName
from pipeline.stages.workflow_layouts import USED
from pipeline.store import JSON, Store
from pipeline.workspace.artifact import read_record, verify_artifact
from pipeline.workspace.model_files import basis_digest
from pipeline.workspace.workspace import Workspace, content_digest

# What is compared, in the order in which it is made, and the stage that makes it. Tables and the report are left out,
# because a run makes them anew by itself.
STAGES: Mapping[str, StageName] = {
    "basis": "fit",
    "layouts": "extract",
    "captions": "caption",
    "adapter": "adapt",
    "synthetic": "generate",
    "judge": "judge",
    "scale": "curate",
    "curated": "curate",
}


def outdated(space: Workspace) -> str | None:
    """A line that names what does not go with what it was made of any more, and the command that makes it anew."""
    now = digests(space)
    changed = {
        name: [source for source, digest in now.items() if inputs.get(source, digest) != digest]
        for name, inputs in ((name, inputs_of(space, name)) for name in STAGES)
    }
    names = [name for name in STAGES if changed[name]]
    if not names:
        return None
    sources = dict.fromkeys(source for name in names for source in changed[name])
    command = f"lumen run {shlex.quote(str(space.config))} --redo {STAGES[names[0]]}"
    return f"{' and '.join(sources)} changed after {', '.join(names)} had been made of it: to make that anew, {command}"


def digests(space: Workspace) -> dict[str, JSON]:
    """What stores and artifacts that are there, whole, are known by in the inputs of what is made of them.

    Those of a store that lacks shards are left out: the next run makes the shards again as they were.
    """
    urls = {name: space.stores[name] for name in ("real", "layouts", "captions")}
    stores = {name: Store.open(url) for name, url in urls.items() if Store.is_at(url)}
    found: dict[str, JSON] = {name: content_digest(store) for name, store in stores.items() if store.is_whole()}
    # Curated shards follow the synthetic ones one by one, and not the store as a whole.
    if Store.is_at(space.synthetic):
        found["synthetic"] = Store.open(space.synthetic).manifest.fingerprint
    # Layouts name the basis that they are written in, and not the whole artifact. One that is damaged cannot be asked.
    if (space.basis / USED).is_dir() and not verify_artifact(space.basis)[1]:
        found["basis"] = basis_digest(space.basis / USED)
    for path in (space.adapter, space.judge):
        if record := read_record(path):
            found[path.name] = record.digest
    return found


def inputs_of(space: Workspace, name: str) -> Mapping[str, JSON]:
    """What a store or an artifact was made from; nothing where it is not there."""
    if name in space.stores:
        url = space.stores[name]
        return Store.open(url).manifest.inputs if Store.is_at(url) else {}
    record = read_record(space.root / name)
    return record.inputs if record else {}
