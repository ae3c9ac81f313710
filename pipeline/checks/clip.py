"""Check that a CLIP model exists and is one, without loading its weights."""

from __future__ import annotations

from augment.errors import UserError
from pipeline.checks.hub import require_reachable
from pipeline.checks.model_config import read_model_config

CLIP = "evaluate.clip_model"
CLIP_REMEDY = "give a CLIP model such as openai/clip-vit-large-patch14-336"


def require_clip(name: str) -> None:
    """Check that a model is a CLIP.

    Raises:
        UserError: it is nowhere, or is another kind of model.
    """
    require_reachable(CLIP, name, "config.json", [])
    kind = read_model_config(CLIP, name, "config.json", CLIP_REMEDY).get("model_type")
    if kind != "clip":
        raise UserError(f"{CLIP}={name}: it is a model of type {kind!r}: {CLIP_REMEDY}")
