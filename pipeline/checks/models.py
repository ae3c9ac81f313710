"""Check that the models of a run are of the right kind and fit together, by their configurations alone."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augment.backbones import OFFLINE_DINOV2
from augment.backbones.families import channels_of, read_config
from augment.backbones.options import FeatureOptions, parse_name, split_fusion
from augment.backbones.unet_blocks import block_of, channels_of_block, is_diffusion_model, timestep_of
from augment.cache import kept
from augment.errors import UserError
from augment.import_path import import_callable, is_import_path
from augment.lumen.bases import families
from augment.lumen.bases.families import FAMILIES, family_of
from augment.lumen.bases.part_checks import Unsupported
from pipeline.checks.model_config import read_model_config, require_writable
from pipeline.workspace.model_files import identity, model_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

BACKBONE, BASE, CAPTIONER, CONTROLNET = "backbone.name", "generator.base", "captions.model", "adapt.controlnet"
BACKBONE_REMEDY = f"give a model that docs/backbones.md lists, such as facebook/dinov2-base or {OFFLINE_DINOV2}"
BASE_REMEDY = f"give a model like {', '.join(family.title for family in FAMILIES)} in diffusers layout"
CONTROLNET_REMEDY = "give a ControlNet for bases like generator.base, in diffusers layout"
CAPTIONER_REMEDY = "give an image-to-text model such as Salesforce/blip-image-captioning-base"


def require_backbone(reference: str) -> int | None:
    """Check that a backbone gives dense features of images of any size; returns its channels, None if unknown.

    Args:
        reference: see `BackboneOptions.reference`.

    Raises:
        UserError: it is another kind of model, does not have these features, or its cache cannot be written.
    """
    widths = [_require_member(*parse_name(member)) for member in split_fusion(reference)]
    known = [width for width in widths if width is not None]
    return sum(known) if len(known) == len(widths) else None


def _require_member(name: str, settings: FeatureOptions) -> int | None:
    from augment.backbones.dinov2_onnx import CHANNELS, cache_folder, model_config

    if is_import_path(name):
        width = getattr(import_callable(name, "backbone"), "channels", None)
        return width if isinstance(width, int) else None
    if name == OFFLINE_DINOV2:
        if not (cache_folder() / "config.json").exists():
            require_writable("LUMEN_CACHE", cache_folder())
        if not settings.changed:
            # Without the configurations of transformers, which take seconds to import.
            return CHANNELS
        config: Mapping[str, Any] = model_config().to_dict()
    elif is_diffusion_model(name):
        return _require_blocks(name, settings)
    else:
        config = read_model_config(BACKBONE, name, "config.json", BACKBONE_REMEDY)
    try:
        family = read_config(config)
    except UserError as error:
        raise UserError(f"{BACKBONE}={name}: {error}: {BACKBONE_REMEDY}") from error
    try:
        return channels_of(*family, settings)
    except UserError as error:
        raise UserError(f"{BACKBONE}={name}: {error}") from error


def _require_blocks(name: str, settings: FeatureOptions) -> int:
    unet = require_base(name, BACKBONE)
    if "block_out_channels" not in unet:
        raise UserError(f"{BACKBONE}={name}: it is a transformer: features are taken of the blocks of a U-Net")
    schedule = read_model_config(BACKBONE, name, "scheduler/scheduler_config.json", BASE_REMEDY)
    try:
        timestep_of(schedule, settings)
        return channels_of_block(unet, block_of(unet, settings))
    except UserError as error:
        raise UserError(f"{BACKBONE}={name}: {error}") from error


def require_basis_fits(basis: Path, name: str, channels: int | None) -> None:
    """Check that the basis of an adapter was fitted on this backbone.

    Two revisions differ only in their weights, which are read where the backbone is on this machine. A backbone on
    the hub is checked against the basis by `fit`, once it is downloaded.

    Raises:
        UserError: it was fitted on another one.
    """
    from augment.layouts.basis import LayoutBasis

    found = LayoutBasis.load(basis)
    lead = f"{BACKBONE}={name}: the basis of generator.adapter was fitted on {found.backbone!r}"
    remedy = "use that backbone, or generator.adapter=null layout.basis=own with adapt.steps"
    if channels is not None and channels != len(found.mean):
        raise UserError(f"{lead}, which has {len(found.mean)} channels, and this one has {channels}: {remedy}")
    names = [parse_name(member)[0] for member in split_fusion(name)]
    if not all(one == OFFLINE_DINOV2 or model_folder(one).is_dir() for one in names):
        return
    if (revision := _revision(name)) != found.revision:
        raise UserError(f"{lead}, of another revision ({found.revision[:8]}, not {revision[:8]}): {remedy}")


@lru_cache(maxsize=8)
def _revision(name: str) -> str:
    """The revision of a backbone on this machine, found once for the same files."""
    from augment.backbones import load_backbone
    from augment.backbones.dinov2_onnx import cached_checkpoint

    members = [parse_name(member)[0] for member in split_fusion(name)]
    files = [identity(str(cached_checkpoint()) if one == OFFLINE_DINOV2 else one) for one in members]
    return str(kept("revisions", [name, files], lambda: load_backbone(name).revision))


def require_base(name: str, key: str = BASE, revision: str | None = None) -> Mapping[str, Any]:
    """Check that a base model can be used; returns the configuration of its network.

    Args:
        name: of the base model.
        key: of the configuration that names it.
        revision: commit of a hub id; None is the newest.

    Raises:
        UserError: it is another kind of model, or its parts do not fit together.
    """

    def part(file: str) -> Mapping[str, Any]:
        return read_model_config(key, name, file, BASE_REMEDY, revision)

    try:
        family = family_of(part("model_index.json"))
        family.require(part)
    except Unsupported as error:
        raise UserError(f"{key}={name}: {error}: {BASE_REMEDY}") from error
    return part(f"{family.network}/config.json")


def require_controlnet(name: str, base: str, revision: str | None = None) -> None:
    """Check that a training of an adapter may start from a ControlNet.

    Args:
        name: hub id or folder of the ControlNet, which exists.
        base: the base model, which can be used.
        revision: commit of a base on the hub; None is the newest.

    Raises:
        UserError: it is another kind of model, or is one for other bases.
    """
    family = family_of(read_model_config(BASE, base, "model_index.json", BASE_REMEDY, revision))
    try:
        families.require_controlnet(
            read_model_config(CONTROLNET, name, "config.json", CONTROLNET_REMEDY),
            read_model_config(BASE, base, f"{family.network}/config.json", BASE_REMEDY, revision),
            family,
        )
    except Unsupported as error:
        raise UserError(f"{CONTROLNET}={name}: {error}: {CONTROLNET_REMEDY}") from error


def require_captioner(name: str) -> None:
    """Check that a model captions images.

    Raises:
        UserError: it is another kind of model.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    kind = read_model_config(CAPTIONER, name, "config.json", CAPTIONER_REMEDY).get("model_type")
    if kind not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise UserError(f"{CAPTIONER}={name}: it is a model of type {kind!r}: {CAPTIONER_REMEDY}")
