"""The families of models whose features can be taken, by the type that their configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from augment.backbones.options import FeatureOptions
from augment.errors import UserError

Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]

# Mean and standard deviation of the channels, for values in 0..1.
IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP: Statistics = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
HALF: Statistics = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
UNIT: Statistics = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Family:
    """What a family of models has in common.

    Attributes:
        model: class of transformers that holds the image encoder, alone where there is one that loads it.
        part: name of the image encoder in that model; empty where it is the model itself.
        normalisation: of its images, where the model has no configuration of an image processor.
        kind: `tokens` of a vision transformer, `maps` of a convolutional network, `windows` of SAM's transformer, or
            the `pyramid` of SAM 2's.
        call: how it takes images of any size: of itself, when it is `asked` to interpolate its position embeddings,
            `unmasked` as a masked autoencoder, or as `patches`.
        class_tokens: tokens before the patches, without registers.
        own_normalisation: whether the model normalises images itself.
        settings: of its configuration, to load it with.
    """

    model: str
    normalisation: Statistics = IMAGENET
    kind: Literal["tokens", "maps", "windows", "pyramid"] = "tokens"
    call: Literal["itself", "asked", "unmasked", "patches"] = "itself"
    class_tokens: int = 1
    own_normalisation: bool = False
    part: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def prefix_tokens(self, config: Any) -> int:
        """Class and register tokens before those of the patches."""
        registers = getattr(config, "num_register_tokens", getattr(config, "num_registers", 0))
        return int(getattr(config, "num_cls_tokens", self.class_tokens)) + int(registers or 0)


_SIGLIP = Family("SiglipVisionModel", HALF, call="asked", class_tokens=0)
_SIGLIP2 = Family("Siglip2VisionModel", HALF, call="patches", class_tokens=0)
_CLIP = Family("CLIPVisionModel", CLIP, call="asked")
_TIPS = Family("Tipsv2VisionModel", UNIT)
_SAM = Family("SamVisionModel", kind="windows")
_SAM2 = Family("Sam2Model", kind="pyramid", part="vision_encoder")
FAMILIES: Mapping[str, Family] = {
    "dinov2": Family("Dinov2Model"),
    "dinov2_with_registers": Family("Dinov2WithRegistersModel"),
    "dinov3_vit": Family("DINOv3ViTModel"),
    "dinov3_convnext": Family("DINOv3ConvNextModel", kind="maps"),
    "siglip": _SIGLIP,
    "siglip_vision_model": _SIGLIP,
    "siglip2": _SIGLIP2,
    "siglip2_vision_model": _SIGLIP2,
    "clip": _CLIP,
    "clip_vision_model": _CLIP,
    "radio": Family("RadioModel", own_normalisation=True),
    "tipsv2": _TIPS,
    "tipsv2_vision_model": _TIPS,
    "vit_mae": Family("ViTMAEModel", call="unmasked", settings={"mask_ratio": 0.0}),
    "sam": _SAM,
    "sam_vision_model": _SAM,
    "sam2": _SAM2,
    # The published weights are those of the model for videos, of which the image encoder is the same.
    "sam2_video": _SAM2,
    "sam2_vision_model": Family("Sam2VisionModel", kind="pyramid"),
}
KNOWN = "DINOv2, DINOv3, SigLIP, CLIP, C-RADIO, TIPS v2, MAE, SAM, SAM 2 or Stable Diffusion"


def read_config(content: Mapping[str, Any]) -> tuple[Family, Any]:
    """The family of a model and the configuration of its image encoder, from the content of config.json.

    Raises:
        UserError: the family is unknown, here or to the installed transformers.
    """
    import transformers

    kind = str(content.get("model_type"))
    family = FAMILIES.get(kind)
    if family is None:
        raise UserError(f"it is a model of type {kind!r}, and only {KNOWN} give dense features of images of any size")
    if kind not in transformers.CONFIG_MAPPING or not hasattr(transformers, family.model):
        raise UserError(f"transformers {transformers.__version__} has no {family.model}: install a newer one")
    config = transformers.CONFIG_MAPPING[kind].from_dict(dict(content))
    return family, getattr(config, "vision_config", config)


def depth_of(family: Family, config: Any) -> int:
    """Layers of a transformer, or stages of a convolutional network or of SAM 2."""
    if family.kind == "pyramid":
        return len(config.backbone_config.blocks_per_stage)
    return len(config.hidden_sizes) if family.kind == "maps" else int(config.num_hidden_layers)


def layer_index(family: Family, config: Any, settings: FeatureOptions) -> int:
    """The layer that is asked for, from 0.

    Raises:
        UserError: this family does not have these features.
    """
    for name in ("block", "timestep"):
        if getattr(settings, name) is not None:
            raise UserError(f"it is no diffusion model, which alone has a {name}: leave {name} out, and give a layer")
    if settings.facet != "token" and family.kind != "tokens":
        raise UserError(f"its features have no {settings.facet}: give facet=token")
    depth = depth_of(family, config)
    if not -depth <= settings.layer < depth:
        raise UserError(
            f"it has no layer {settings.layer}: set backbone.layer to one of 0..{depth - 1}, or of {-depth}..-1"
        )
    return settings.layer % depth


def channels_of(family: Family, config: Any, settings: FeatureOptions) -> int:
    """Channels of the features.

    Raises:
        UserError: this family does not have these features.
    """
    layer = layer_index(family, config, settings)
    if family.kind == "maps":
        return int(config.hidden_sizes[layer])
    is_last = layer == depth_of(family, config) - 1
    if family.kind == "pyramid":
        return int(config.fpn_hidden_size if is_last else config.backbone_config.embed_dim_per_stage[layer])
    if family.kind == "windows" and is_last:
        return int(config.output_channels)
    return int(config.hidden_size)


def patch_of(family: Family, config: Any, layer: int) -> int:
    """Pixels that one cell of the features covers.

    Raises:
        UserError: the patches are not square.
    """
    if family.kind == "pyramid" and layer == depth_of(family, config) - 1:
        # The neck gives the stages in one resolution: that of the coarsest level which it keeps.
        layer = config.num_feature_levels - 1
    patch = 4 * 2**layer if family.kind in ("maps", "pyramid") else config.patch_size
    if not isinstance(patch, int):
        sides = set(patch)
        if len(sides) != 1:
            raise UserError(f"its patches of {patch} pixels are not square")
        return int(sides.pop())
    return patch
