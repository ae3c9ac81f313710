"""Rendered scenes as an artifact: rendered once, and only if they do not exist."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from pipeline.scenes.options import RenderOptions
from pipeline.workspace.artifact import Artifact


def scenes_artifact(folder: Path, options: RenderOptions) -> Artifact:
    """The scenes that `options` describe, at `folder`."""
    names = {name: f"dataset.render.{name}" for name in type(options).model_fields}
    return Artifact(folder, "scenes", options.model_dump(mode="json"), input_names=names)


def render_once(folder: Path, options: RenderOptions, workers: int | None, report: Callable[[str], None]) -> None:
    """Render the scenes with `workers` processes (None: one for each core), unless `folder` holds them already.

    Raises:
        UserError: `folder` holds scenes that were rendered with other options.
    """
    from pipeline.scenes import write_dataset

    artifact = scenes_artifact(folder, options)
    artifact.require_match("shard")
    if artifact.is_done():
        return
    counts = {"train": options.train, "val": options.val}
    report(f"rendering {sum(counts.values())} scenes at {options.width}x{options.height}")
    with artifact.building() as scratch:
        write_dataset(scratch, counts, options.seed, options.height, options.width, workers or os.cpu_count() or 1)
