"""Frozen foundation models behind one protocol."""

from __future__ import annotations

from augment.backbones.backbone import Backbone, LayeredBackbone
from augment.backbones.imported import load_imported
from augment.import_path import is_import_path

OFFLINE_DINOV2 = "dinov2-vits14"

__all__ = ["OFFLINE_DINOV2", "Backbone", "LayeredBackbone", "load_backbone"]


def load_backbone(name: str, device: str = "cpu") -> Backbone:
    """Load a backbone by name.

    Args:
        name: `dinov2-vits14` (in the `offline` extra, no hub needed), any hub id or local folder of a vision
            transformer that transformers loads, e.g. `facebook/dinov2-base`, or the import path of a backbone of
            your own, e.g. `my_package.my_module:MyBackbone`; see `load_imported`.
        device: torch device the model runs on.

    Raises:
        UserError: it cannot be loaded.
    """
    if is_import_path(name):
        return load_imported(name, device)
    from augment.backbones.dinov2_onnx import cached_checkpoint
    from augment.backbones.transformer import TransformerBackbone

    source = cached_checkpoint() if name == OFFLINE_DINOV2 else name
    return TransformerBackbone(name, source, device)
