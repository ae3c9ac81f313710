"""How the inputs of a store or an artifact differ from those requested, in the words of the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.store import JSON
from pipeline.store.manifest import differences

# Begins the name of an input that is the content of files or of another result, which no key of the configuration sets.
CONTENT = "the content of "


def content_of(title: str) -> str:
    """The name of an input that is the content of something, such as `the real store`."""
    return f"{CONTENT}{title}"


def describe_changes(names: Mapping[str, str], stored: Mapping[str, JSON], requested: Mapping[str, JSON]) -> str:
    """The differences between stored and requested inputs, keys of the configuration first.

    Args:
        names: what an input is called, by the beginning of its path; an input without a name is called by its path.
        stored, requested: inputs, or the content of a manifest, with the inputs in `inputs`.
    """
    lines = differences(stored, requested, name=lambda path: name_of(names, path.removeprefix("inputs.")))
    # Two inputs may have one name.
    return "; ".join(sorted(dict.fromkeys(lines), key=lambda line: line.startswith(CONTENT)))


def name_of(names: Mapping[str, str], path: str) -> str:
    """What the input at a path is called: `sampler.num_steps` is `generator.num_steps` if `sampler` is `generator`."""
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        if known := names.get(".".join(parts[:count])):
            return ".".join([known, *parts[count:]])
    return path
