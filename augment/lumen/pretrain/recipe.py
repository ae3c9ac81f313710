"""Pretraining, part by part; a finished part is not repeated."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from augment.files import written_whole
from augment.layouts.basis import LayoutBasis
from augment.layouts.fitting import fit_basis, scene_moments
from augment.layouts.moments import SceneMoments
from augment.layouts.views import view_layouts
from augment.loading import quiet
from augment.lumen.bases.stable_diffusion import StableDiffusion
from augment.lumen.precision import autocast
from augment.lumen.pretrain.autoencoder import new_autoencoder, train_decoder
from augment.lumen.pretrain.diffusion import LatentSet, new_schedule, new_unet, train_diffusion
from augment.lumen.pretrain.text import new_text_encoder, train_tokenizer
from augment.lumen.training.examples import Example
from augment.lumen.training.trainer import LOSSES
from augment.progress import TrainingStep
from augment.prompts import SUBJECTS, TIMES_OF_DAY, WEATHERS, Prompt, caption, of_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from diffusers import AutoencoderTiny
    from numpy.typing import NDArray
    from torch import Tensor

    from augment.backbones import LayeredBackbone
    from augment.lumen.options import PretrainOptions
    from augment.lumen.pretrain.images import ImageSource
    from augment.lumen.prompt_limit import PromptLimit
    from augment.progress import OnStep

ENCODE_BATCH = 32


# The tokenizer learns these words too, whether the captions of the training images have them or not.
EXTRA_CAPTIONS = tuple(
    caption({"medium": medium, "time_of_day": time, "weather": weather})
    for medium in SUBJECTS
    for time in ("", *TIMES_OF_DAY)
    for weather in ("", *WEATHERS)
)


def pretrain(
    sources: Mapping[str, ImageSource],
    backbone: LayeredBackbone,
    options: PretrainOptions,
    folder: Path,
    destination: Path,
    device: torch.device,
    log: Callable[[str], None],
    on_step: OnStep,
) -> None:
    """Train a base model and its adapter, and write both to `destination`.

    `destination` gets the layout of a Stable Diffusion pipeline, with the adapter in `adapter/` and the basis of its
    layouts in `adapter/basis/`.

    Args:
        sources: name -> training images, each source at one size.
        backbone: reads the layouts.
        options: sizes, trainings and seed.
        folder: for checkpoints, logs and sample grids; an interrupted run resumes from there.
        destination: folder of the finished model.
        device: device to train on.
        log: receives a line for each part.
        on_step: called after every training step and every encoded batch; its `phase` names the part.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    parts, sizes = list(sources.values()), options.model
    vae = _autoencoder(parts, backbone, options, folder, device, on_step)
    captions = [caption(image.attributes) for source in parts for image in source.images]
    tokenizer = train_tokenizer([*captions, *EXTRA_CAPTIONS], sizes.text_length, folder / "tokenizer")
    torch.manual_seed(options.seed)
    unet = new_unet(sizes.unet_channels, sizes.latent_channels, sizes.text_width)
    text_encoder = new_text_encoder(tokenizer, sizes.text_width, sizes.text_layers)
    base = StableDiffusion(destination.name, vae, new_schedule(), unet, text_encoder, tokenizer)
    for module in (vae, unet, text_encoder):
        module.to(device)
    adapter = base.new_adapter(sizes.num_components, sizes.adapter_hidden_channels).to(device)

    crops = [list(source.crops(options.seed)) for source in parts]
    basis = _basis(crops, parts, backbone, options, folder / "basis", device, log)
    sets, shown = [], []
    for (name, source), pixels in zip(sources.items(), crops, strict=True):
        cache = folder / f"latents-{name}.safetensors"
        watch = _in_phase(f"encoding {name}", on_step)
        texts = _fitted_captions(source, base.prompt_limit, log)
        encoded = _encode(source, pixels, texts, base, backbone, basis, cache, options, watch)
        sets.append(encoded)
        picks = np.linspace(0, len(pixels) - 1, 8).astype(int)
        shown.append([Example(pixels[i], encoded.layouts[i].numpy(), encoded.captions[i]) for i in picks])
    watch = _in_phase("diffusion", on_step)
    train_diffusion(base, adapter, sets, shown, options.diffusion, options.seed, folder / "diffusion", watch)

    scratch = destination.with_name(destination.name + ".partial")
    shutil.rmtree(scratch, ignore_errors=True)
    base.save(scratch)
    adapter.half().save_pretrained(scratch / "adapter")
    basis.save(scratch / "adapter" / "basis")
    shutil.copy(folder / "decoder" / LOSSES, scratch / "loss-decoder.jsonl")
    shutil.copy(folder / "diffusion" / LOSSES, scratch / "loss-diffusion.jsonl")
    replaced = destination.with_name(destination.name + ".replaced")
    shutil.rmtree(replaced, ignore_errors=True)
    if destination.exists():
        destination.rename(replaced)
    scratch.rename(destination)
    shutil.rmtree(replaced, ignore_errors=True)
    log(f"wrote {destination}")


def _autoencoder(
    sources: Sequence[ImageSource],
    backbone: LayeredBackbone,
    options: PretrainOptions,
    folder: Path,
    device: torch.device,
    on_step: OnStep,
) -> AutoencoderTiny:
    from diffusers import AutoencoderTiny

    finished = folder / "vae"
    if not (finished / "config.json").exists():
        torch.manual_seed(options.seed)
        model = new_autoencoder(sources, options.model.latent_channels, options.seed)
        watch = _in_phase("decoder", on_step)
        train_decoder(sources, model, backbone, options.decoder, options.seed, folder / "decoder", device, watch)
        scratch = folder / "vae.partial"
        model.save_pretrained(scratch)
        scratch.rename(finished)
    with quiet():
        return AutoencoderTiny.from_pretrained(finished).eval().requires_grad_(False)


def _basis(
    crops: Sequence[Sequence[NDArray[np.uint8]]],
    sources: Sequence[ImageSource],
    backbone: LayeredBackbone,
    options: PretrainOptions,
    folder: Path,
    device: torch.device,
    log: Callable[[str], None],
) -> LayoutBasis:
    """Fit the basis on one crop of every image."""
    if (folder / "basis.json").exists():
        return LayoutBasis.load(folder)
    log("fitting the layout basis")

    def encode(images: NDArray[np.uint8]) -> torch.Tensor:
        with autocast(device, options.diffusion.precision):
            return backbone.features(images)

    parts, generator = [], np.random.default_rng(options.seed)
    for pixels, source in zip(crops, sources, strict=True):
        for batch in _batches(pixels[: len(source.images)]):
            seeds = generator.integers(2**63, size=(len(batch), options.basis.copies)).tolist()
            parts.append(scene_moments(np.stack(batch), seeds, encode, options.basis, torch.get_num_threads()))
    moments = SceneMoments.merged(parts)
    basis = fit_basis(moments, options.model.num_components, backbone.name, backbone.revision, options.basis)
    basis.save(folder)
    return basis


def _fitted_captions(source: ImageSource, limit: PromptLimit, log: Callable[[str], None]) -> list[str]:
    """The caption of each image of a source, shortened to what the text encoder takes."""
    fitted = [limit.fit(Prompt(("", ""), of_attributes(image.attributes))) for image in source.images]
    if shortened := sum(prompt.shortened for prompt in fitted):
        log(f"{shortened} captions shortened to the {limit.length} tokens of model.text_length")
    return [prompt.text for prompt in fitted]


@torch.inference_mode()
def _encode(
    source: ImageSource,
    pixels: Sequence[NDArray[np.uint8]],
    texts: Sequence[str],
    base: StableDiffusion,
    backbone: LayeredBackbone,
    basis: LayoutBasis,
    cache: Path,
    options: PretrainOptions,
    on_step: OnStep,
) -> LatentSet:
    """Encode all crops of a source, once; `texts` are the captions of its images."""
    if not cache.exists():
        started = time.monotonic()
        parts: dict[str, list[Tensor]] = defaultdict(list)

        def layouts_of(images: NDArray[np.uint8]) -> NDArray[np.float16]:
            with autocast(base.device, options.diffusion.precision):
                features = backbone.features(basis.prepare(images), base.stride)
            return basis.project(features).half().cpu().numpy()

        done = 0
        for batch in _batches(pixels):
            stacked = np.stack(batch)
            parts["latents"].append(base.encode(stacked).half().cpu())
            parts["layouts"].append(torch.from_numpy(layouts_of(stacked)))
            if options.diffusion.views:
                seeds = _view_seeds(options, range(done, done + len(batch)))
                views = view_layouts(stacked, seeds, layouts_of, torch.get_num_threads())
                parts["views"].append(torch.from_numpy(views))
            done += len(batch)
            on_step(TrainingStep(done, len(pixels), {}, done / (time.monotonic() - started)))
        with written_whole(cache) as scratch:
            save_file({name: torch.cat(batches).contiguous() for name, batches in parts.items()}, scratch)
    tensors = load_file(cache)
    captions = [texts[i % len(texts)] for i in range(len(pixels))]
    return LatentSet(tensors["latents"], tensors["layouts"], captions, source.options.weight, tensors.get("views"))


def _view_seeds(options: PretrainOptions, crops: Iterable[int]) -> list[list[int]]:
    """Seeds of the views of some crops of a source, by the numbers of crop and view."""

    def seed(crop: int, view: int) -> int:
        return int(np.random.default_rng((options.seed, crop, view)).integers(2**63))

    return [[seed(crop, view) for view in range(options.diffusion.views)] for crop in crops]


def _in_phase(phase: str, on_step: OnStep) -> OnStep:
    return lambda step: on_step(replace(step, phase=phase))


def _batches(items: Sequence[NDArray[np.uint8]]) -> Iterator[Sequence[NDArray[np.uint8]]]:
    for start in range(0, len(items), ENCODE_BATCH):
        yield items[start : start + ENCODE_BATCH]
