"""Check that the models of a run are of the right kind and fit together, by their configurations alone."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augment.backbones import OFFLINE_DINOV2
from augment.errors import UserError
from augment.import_path import import_callable, is_import_path
from augment.stride import STRIDE
from pipeline.checks.model_config import read_model_config, require_writable

if TYPE_CHECKING:
    from collections.abc import Mapping

BACKBONE, BASE, CAPTIONER = "backbone.name", "generator.base", "captions.model"
BACKBONE_REMEDY = f"give a DINOv2 or DINOv3 vision transformer, such as facebook/dinov2-base or {OFFLINE_DINOV2}"
BASE_REMEDY = (
    "give a model like Stable Diffusion 1.x or 2.x in diffusers layout: one UNet2DConditionModel on plain latents with "
    "one CLIP text encoder"
)
CAPTIONER_REMEDY = "give an image-to-text model such as Salesforce/blip-image-captioning-base"
# Inputs of a U-Net other than a prompt, which this project has none to give.
CONDITIONS = ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim_type")
PREDICTIONS = ("epsilon", "v_prediction")


def require_backbone(name: str) -> int | None:
    """Check that a backbone gives patch tokens of images of any size; returns its channels, None if unknown.

    Raises:
        UserError: it is another kind of model, or its cache cannot be written.
    """
    from augment.backbones.dinov2_onnx import CHANNELS, cache_folder
    from augment.backbones.transformer import MODEL_TYPES

    if name == OFFLINE_DINOV2:
        if not (cache_folder() / "config.json").exists():
            require_writable("LUMEN_CACHE", cache_folder())
        return CHANNELS
    if is_import_path(name):
        width = getattr(import_callable(name, "backbone"), "channels", None)
        return width if isinstance(width, int) else None
    config = read_model_config(BACKBONE, name, "config.json", BACKBONE_REMEDY)
    if (kind := config.get("model_type")) not in MODEL_TYPES:
        raise UserError(f"{BACKBONE}={name}: it is a model of type {kind!r}: {BACKBONE_REMEDY}")
    width = config.get("hidden_size")
    return width if isinstance(width, int) else None


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
    remedy = f"set {BACKBONE} to that, or layout.basis=own with adapt.steps"
    if channels is not None and channels != len(found.mean):
        raise UserError(f"{lead}, which has {len(found.mean)} channels, and this one has {channels}: {remedy}")
    if name != OFFLINE_DINOV2 and not Path(name).is_dir():
        return
    if (revision := _revision(name)) != found.revision:
        raise UserError(f"{lead}, of another revision ({found.revision[:8]}, not {revision[:8]}): {remedy}")


@lru_cache(maxsize=8)
def _revision(name: str) -> str:
    from augment.backbones import load_backbone

    return load_backbone(name).revision


def require_base(name: str) -> Mapping[str, Any]:
    """Check that `adapt` and `generate` can use a base model; returns its U-Net's configuration.

    Raises:
        UserError: it is another kind of model, or its parts do not fit together.
    """

    def part(file: str) -> Mapping[str, Any]:
        return read_model_config(BASE, name, file, BASE_REMEDY)

    def refuse(what: str) -> UserError:
        return UserError(f"{BASE}={name}: {what}: {BASE_REMEDY}")

    index = part("model_index.json")
    pipeline = index.get("_class_name", "a model")
    if index.get("text_encoder_2", (None,))[0] or not index.get("unet", (None,))[0]:
        raise refuse(f"it is a {pipeline}")
    unet, vae, text = part("unet/config.json"), part("vae/config.json"), part("text_encoder/config.json")
    for folder, config, classes in (
        ("unet", unet, ("UNet2DConditionModel",)),
        ("vae", vae, ("AutoencoderKL", "AutoencoderTiny")),
    ):
        if config.get("_class_name") not in classes:
            raise refuse(f"its {folder} is a {config.get('_class_name')}, not {' or '.join(classes)}")
    latent = vae.get("latent_channels", 4)
    for side in ("in_channels", "out_channels"):
        if (channels := unet.get(side, 4)) != latent:
            more = " (an inpainting or instruct-pix2pix model, perhaps)" if channels > latent else ""
            raise refuse(f"the U-Net of this {pipeline} has {side} {channels}, but its latents have {latent}{more}")
    if given := [condition for condition in CONDITIONS if unet.get(condition) is not None]:
        raise refuse(f"the U-Net of this {pipeline} needs more than a prompt ({', '.join(given)})")
    if not str(text.get("model_type", "clip_text_model")).startswith("clip"):
        raise refuse(f"its text encoder is a model of type {text.get('model_type')!r}")
    read, width = unet.get("cross_attention_dim"), text.get("hidden_size", 512)
    if read != width:
        raise refuse(f"its U-Net reads text embeddings of width {read}, but its text encoder gives {width}")
    stride = 2 ** (len(vae.get("block_out_channels", (0,))) - 1)
    if stride > STRIDE or STRIDE % stride:
        raise refuse(f"a cell of its latent covers {stride} pixels, but a cell of a layout covers {STRIDE}")
    prediction = part("scheduler/scheduler_config.json").get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise refuse(f"it predicts {prediction!r}, but only {' and '.join(PREDICTIONS)} are supported")
    return unet


def require_captioner(name: str) -> None:
    """Check that a model captions images.

    Raises:
        UserError: it is another kind of model.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    kind = read_model_config(CAPTIONER, name, "config.json", CAPTIONER_REMEDY).get("model_type")
    if kind not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise UserError(f"{CAPTIONER}={name}: it is a model of type {kind!r}: {CAPTIONER_REMEDY}")
