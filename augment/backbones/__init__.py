"""Frozen foundation models behind one protocol."""

from __future__ import annotations

from augment.backbones.backbone import Backbone, LayeredBackbone
from augment.backbones.imported import load_imported
from augment.backbones.options import BackboneOptions, FeatureOptions, parse_name, split_fusion
from augment.backbones.unet_blocks import is_diffusion_model
from augment.errors import UserError
from augment.import_path import is_import_path

OFFLINE_DINOV2 = "dinov2-vits14"

__all__ = ["OFFLINE_DINOV2", "Backbone", "BackboneOptions", "FeatureOptions", "LayeredBackbone", "load_backbone"]


def load_backbone(name: str, device: str = "cpu") -> Backbone:
    """Load a backbone by name.

    Args:
        name: `dinov2-vits14` (in the `offline` extra, no hub needed), a hub id or local folder of one of the models
            that docs/backbones.md lists, e.g. `facebook/dinov2-base`, or the import path of a backbone of your own,
            e.g. `my_package.my_module:MyBackbone`; see `load_imported`. Settings follow a question mark, as in
            `facebook/dinov2-base?layer=-3&facet=key`; see `FeatureOptions`. Several names with ` + ` between them are
            fused; see `FusedBackbone`. The name that a layout basis records is one of these.
        device: torch device the model runs on.

    Raises:
        UserError: it cannot be loaded.
    """
    members = split_fusion(name)
    if len(members) > 1:
        from augment.backbones.fused import FusedBackbone

        return FusedBackbone(name, [load_backbone(member, device) for member in members])
    plain, settings = parse_name(name)
    if is_import_path(plain):
        return load_imported(plain, device)
    from augment.backbones.dinov2_onnx import cached_checkpoint
    from augment.backbones.pretrained import load_encoder

    source = str(cached_checkpoint()) if plain == OFFLINE_DINOV2 else plain
    try:
        if is_diffusion_model(source):
            # It loads diffusers, which takes a second and more.
            from augment.backbones.diffusion import DiffusionBackbone

            return DiffusionBackbone(name, source, device, settings)
        return load_encoder(name, source, device, settings)
    except UserError as error:
        raise UserError(f"backbone {name!r}: {error}") from error
