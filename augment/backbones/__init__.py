"""Frozen foundation models behind one protocol."""

from __future__ import annotations

from augment.backbones.backbone import Backbone

OFFLINE_DINOV2 = "dinov2-vits14"

__all__ = ["OFFLINE_DINOV2", "Backbone", "load_backbone"]


def load_backbone(name: str, device: str = "cpu") -> Backbone:
    """Load a backbone by name.

    Args:
        name: `dinov2-vits14` (carried by the `offline` extra, no hub needed), or any hub id or local folder of a
            vision transformer that transformers loads, e.g. `facebook/dinov2-base`.
        device: torch device the model runs on.

    Raises:
        UserError: nothing of that name can be loaded.
    """
    from augment.backbones.dinov2_onnx import cached_checkpoint
    from augment.backbones.transformer import TransformerBackbone

    source = cached_checkpoint() if name == OFFLINE_DINOV2 else name
    return TransformerBackbone(name, source, device)
