"""Results in a workspace that were made from something that has changed since, as a retry changes a store."""

from __future__ import annotations

import shlex
from functools import cache

from pipeline.stages.registry import STEPS
from pipeline.store import JSON
from pipeline.workspace.workspace import Workspace


def outdated(space: Workspace) -> str | None:
    """A line that names outdated results, and the command that makes them again; None if there are none."""
    by_output = {step.output: step for step in STEPS}

    @cache
    def digest(output: str) -> JSON | None:
        return by_output[output].digest_in(space)

    changed: dict[str, list[str]] = {}
    first_stage = ""
    for step in STEPS:
        for name in step.lineage:
            inputs = step.inputs_in(space, name)
            sources = [
                source for source in by_output if source in inputs and digest(source) not in (None, inputs[source])
            ]
            if sources:
                changed[name] = sources
                first_stage = first_stage or step.name
    if not changed:
        return None
    sources = [source for source in by_output if any(source in found for found in changed.values())]
    command = f"lumen run {shlex.quote(str(space.config))} --redo {first_stage}"
    return (
        f"{' and '.join(sources)} changed after {', '.join(changed)} had been made from it: "
        f"to make that again, {command}"
    )
