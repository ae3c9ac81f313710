"""Check by their configurations alone that the parts of a base model are of the right kinds and fit together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from augment.stride import STRIDE

# Reads the JSON file at a path below the top of a model.
Read = Callable[[str], Mapping[str, Any]]

PREDICTIONS = ("epsilon", "v_prediction")
# Beginnings of the names of schedulers whose noise levels are no such steps.
CONTINUOUS = ("EDM", "FlowMatch")
# Inputs of a U-Net other than a prompt, which this project has none to give.
CONDITIONS = ("class_embed_type", "num_class_embeds", "encoder_hid_dim_type")
# What the U-Nets with these numbers of channels are, for latents of four channels.
OF_CHANNELS = {
    5: "a depth-to-image model, which also reads a depth map",
    7: "an upscaler, which also reads a small image",
    8: "an instruct-pix2pix model, which also reads an image",
    9: "an inpainting model, which also reads a mask and an image",
}
# Sizes and crop that SDXL reads: six numbers, each in this many channels.
SIZES = 6


class Unsupported(ValueError):  # noqa: N818 - it names the object at fault
    """A base model that cannot be used; the message is the reason."""


def require_stable_diffusion(read: Read) -> None:
    """Check U-Net, autoencoder, text encoder and schedule of a model like Stable Diffusion 1.x or 2.x.

    Raises:
        Unsupported: one of them is of another kind, or they do not fit together.
    """
    unet = _require_unet(read, extra=("addition_embed_type",))
    width = _clip_width(read, "text_encoder", ("clip",))
    _require_width(unet, width)
    _require_diffusion(read)


def require_sdxl(read: Read) -> None:
    """The same for SDXL, which has two text encoders and reads the sizes of an image."""
    unet = _require_unet(read)
    if (kind := unet.get("addition_embed_type")) != "text_time":
        raise Unsupported(f"its U-Net reads {kind or 'no'} additions, and not the pooled text and the sizes of SDXL")
    if not read("model_index.json").get("text_encoder", (None,))[0]:
        raise Unsupported("it has no first text encoder (an SDXL refiner, which finishes images of another model)")
    second = read("text_encoder_2/config.json")
    width = _clip_width(read, "text_encoder", ("clip",)) + _clip_width(read, "text_encoder_2", ("clip",))
    _require_width(unet, width)
    given = int(second.get("projection_dim", 512)) + SIZES * int(unet.get("addition_time_embed_dim") or 0)
    if (reads := unet.get("projection_class_embeddings_input_dim")) != given:
        raise Unsupported(f"its U-Net reads {reads} added channels, but pooled text and six sizes give {given}")
    _require_diffusion(read)


def require_sd3(read: Read) -> None:
    """The same for Stable Diffusion 3.x: a transformer, two CLIP text encoders and T5, and flow matching."""
    transformer, vae = read("transformer/config.json"), _require_vae(read)
    latent = vae.get("latent_channels", 4)
    if (channels := transformer.get("in_channels", 16)) != latent:
        raise Unsupported(f"its transformer has in_channels {channels}, but its latents have {latent}")
    index = read("model_index.json")
    if not all(index.get(name, (None,))[0] for name in ("text_encoder", "text_encoder_2")):
        raise Unsupported("it lacks a CLIP text encoder")
    pooled = sum(read(f"{name}/config.json").get("projection_dim", 512) for name in ("text_encoder", "text_encoder_2"))
    if (reads := transformer.get("pooled_projection_dim", 2048)) != pooled:
        raise Unsupported(f"its transformer reads pooled text of width {reads}, but its text encoders give {pooled}")
    if index.get("text_encoder_3", (None,))[0]:
        width, reads = read("text_encoder_3/config.json").get("d_model", 512), transformer.get("joint_attention_dim")
        if width != reads:
            raise Unsupported(f"its transformer reads text of width {reads}, but T5 gives {width}")
    scheduler = str(read("scheduler/scheduler_config.json").get("_class_name"))
    if not scheduler.startswith("FlowMatch"):
        raise Unsupported(f"its schedule is a {scheduler}, not one of flow matching")


def _require_unet(read: Read, extra: Collection[str] = ()) -> Mapping[str, Any]:
    unet, vae = read("unet/config.json"), _require_vae(read)
    if (kind := unet.get("_class_name")) != "UNet2DConditionModel":
        raise Unsupported(f"its unet is a {kind}, not UNet2DConditionModel")
    pipeline, latent = read("model_index.json").get("_class_name", "model"), vae.get("latent_channels", 4)
    for side in ("in_channels", "out_channels"):
        if (channels := unet.get(side, 4)) != latent:
            kind = OF_CHANNELS.get(channels) if side == "in_channels" and latent == 4 else None
            found = f"has {side} {channels}, but its latents have {latent}" + (f" ({kind})" if kind else "")
            raise Unsupported(f"the U-Net of this {pipeline} {found}")
    if given := [condition for condition in (*extra, *CONDITIONS) if unet.get(condition) is not None]:
        raise Unsupported(f"the U-Net of this {pipeline} needs more than a prompt ({', '.join(given)})")
    if unet.get("time_cond_proj_dim") is not None:
        raise Unsupported(
            f"the U-Net of this {pipeline} reads the guidance scale (a latent consistency model: take its LoRA on a "
            "plain base)"
        )
    return unet


def _require_vae(read: Read) -> Mapping[str, Any]:
    vae = read("vae/config.json")
    if vae.get("_class_name") not in ("AutoencoderKL", "AutoencoderTiny"):
        raise Unsupported(f"its vae is a {vae.get('_class_name')}, not AutoencoderKL or AutoencoderTiny")
    if vae.get("latents_mean") is not None:
        raise Unsupported("its vae scales each channel of the latents by its own mean and deviation (latents_mean)")
    stride = 2 ** (len(vae.get("block_out_channels", (0,))) - 1)
    if stride > STRIDE or STRIDE % stride:
        raise Unsupported(f"a cell of its latent covers {stride} pixels, but a cell of a layout covers {STRIDE}")
    return vae


def _clip_width(read: Read, part: str, kinds: tuple[str, ...]) -> int:
    text = read(f"{part}/config.json")
    if not str(text.get("model_type", "clip_text_model")).startswith(kinds):
        raise Unsupported(f"its text encoder is a model of type {text.get('model_type')!r}")
    return int(text.get("hidden_size", 512))


def _require_width(unet: Mapping[str, Any], width: int) -> None:
    if (reads := unet.get("cross_attention_dim")) != width:
        raise Unsupported(f"its U-Net reads text embeddings of width {reads}, but its text encoder gives {width}")


def _require_diffusion(read: Read) -> None:
    schedule = read("scheduler/scheduler_config.json")
    prediction, scheduler = schedule.get("prediction_type", "epsilon"), str(schedule.get("_class_name"))
    if scheduler.startswith(CONTINUOUS):
        raise Unsupported(f"its schedule is {scheduler}, not one of a diffusion in numbered steps")
    if prediction not in PREDICTIONS:
        raise Unsupported(f"it predicts {prediction!r}, but only {' and '.join(PREDICTIONS)} are supported")
