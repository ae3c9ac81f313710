"""The families of base models, and which one a model belongs to, by its configuration alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from augment.lumen.bases.part_checks import Read, Unsupported, require_sd3, require_sdxl, require_stable_diffusion

# What pipelines of diffusers with these words in their names do, where no family here does it.
OTHERS = {
    "Inpaint": "paints into a mask",
    "Pix2Pix": "edits an image",
    "Upscale": "enlarges an image",
    "Depth2Img": "reads a depth map",
    "Variation": "varies an image",
    "UnCLIP": "reads the embedding of an image",
    "Video": "makes videos",
    "Cascade": "paints in two stages of its own latents",
}


@dataclass(frozen=True)
class Family:
    """Base models that are used in the same way.

    Attributes:
        title: what they are called.
        network: folder of the denoising network in diffusers layout.
        adapter: name of the class of their adapters.
        controlnet: name of the class of diffusers that an adapter is made of.
        shape: what an adapter and a base of this family have in common, in the configuration of the network.
        require: raises Unsupported if the parts of a model do not fit together.
    """

    title: str
    network: str
    adapter: str
    controlnet: str
    shape: tuple[str, ...]
    require: Callable[[Read], None]


# Why a ControlNet with `global_pool_conditions` is refused.
POOLS = "it steers the image as a whole (global_pool_conditions), and a layout says what is where"
UNET_SHAPE = ("in_channels", "block_out_channels", "cross_attention_dim", "down_block_types", "layers_per_block")
# What else a network is given, which a ControlNet of it must read too.
UNET_INPUTS = (
    *("addition_embed_type", "addition_time_embed_dim", "projection_class_embeddings_input_dim"),
    *("class_embed_type", "num_class_embeds", "encoder_hid_dim_type"),
)
SD3_SHAPE = (
    *("in_channels", "patch_size", "num_attention_heads", "attention_head_dim"),
    *("joint_attention_dim", "pooled_projection_dim", "pos_embed_max_size"),
)

STABLE_DIFFUSION = Family(
    *("Stable Diffusion 1.x and 2.x", "unet", "LayoutControlNet", "ControlNetModel", UNET_SHAPE),
    require_stable_diffusion,
)
SDXL = Family("SDXL", "unet", "LayoutControlNet", "ControlNetModel", UNET_SHAPE, require_sdxl)
SD3 = Family(
    *("Stable Diffusion 3.x", "transformer", "LayoutSD3ControlNet", "SD3ControlNetModel", SD3_SHAPE), require_sd3
)
FAMILIES = (STABLE_DIFFUSION, SDXL, SD3)
# Class of an adapter -> the first family of its bases; all of them have one kind of network and one shape.
OF_ADAPTERS = {family.adapter: family for family in reversed(FAMILIES)}


def family_of(index: Mapping[str, Any]) -> Family:
    """The family of a model with this `model_index.json`.

    Raises:
        Unsupported: there is none; the message is the reason.
    """
    pipeline = str(index.get("_class_name", "model"))
    if (index.get("transformer") or [None])[-1] == "SD3Transformer2DModel":
        return SD3
    if (index.get("unet") or [None])[0]:
        return SDXL if (index.get("text_encoder_2") or [None])[0] else STABLE_DIFFUSION
    what = next((f", which {does}" for word, does in OTHERS.items() if word in pipeline), "")
    raise Unsupported(f"it is a {pipeline}{what}")


def require_controlnet(found: Mapping[str, Any], network: Mapping[str, Any], family: Family) -> None:
    """Check that a training of an adapter for a base may start from a ControlNet.

    Args:
        found: configuration of the ControlNet.
        network: configuration of the base's network.
        family: of the base.

    Raises:
        Unsupported: it may not.
    """
    if (kind := found.get("_class_name")) != family.controlnet:
        more = " (give an adapter as generator.adapter)" if kind in OF_ADAPTERS else ""
        raise Unsupported(f"it is a {kind}, and bases like {family.title} have a {family.controlnet}{more}")
    if found.get("global_pool_conditions"):
        raise Unsupported(POOLS)
    for name in (*family.shape, *(UNET_INPUTS if family.network == "unet" else ())):
        if found.get(name) != network.get(name):
            raise Unsupported(f"it has {name} {found.get(name)}, and the base has {network.get(name)}")
