"""Check that a depth estimation model exists and is one, without loading its weights."""

from __future__ import annotations

from pathlib import Path

from augment.errors import UserError
from pipeline.checks.hub import require_reachable
from pipeline.checks.model_config import read_model_config

DEPTH = "depth.model"
DEPTH_REMEDY = "give a depth estimation model such as depth-anything/Depth-Anything-V2-Small-hf or Intel/dpt-large"


def require_depth(name: str, key: str = DEPTH) -> None:
    """Check that a model estimates depth, and that its image processor loads where it is in a folder.

    Args:
        name: a folder or a hub id.
        key: the key of the configuration that names it.

    Raises:
        UserError: it is nowhere, is another kind of model, or needs a package that is not installed.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES

    require_reachable(key, name, "config.json", [])
    kind = read_model_config(key, name, "config.json", DEPTH_REMEDY).get("model_type")
    if kind not in MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES:
        raise UserError(f"{key}={name}: it is a model of type {kind!r}: {DEPTH_REMEDY}")
    if Path(name).is_dir():
        from augment.conditioning.depth import load_processor

        load_processor(name, key=key)
