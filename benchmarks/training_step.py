"""Compares a training step of the adapter with that of diffusers' documented loop for a ControlNet.

The documented loop (examples/controlnet in diffusers) encodes the images and the captions of every batch, adds noise,
and takes a step of AdamW on a ControlNet that reads a conditioning image. `adapt` reads latents, embeddings and layouts
of the whole batch from stores, keeps an average of the weights besides, and takes a fused step of AdamW. Both have the
same base, batch, size and precision, and hold the same models, gradients and moments. They take turns.

Memory is the most that tensors take at once in two steps: frozen weights, trained weights, gradients, moments and
activations. The average, which a training on a GPU keeps in the memory of the machine, is a figure of its own.

    python benchmarks/training_step.py --base mid --batch 2 --width 128
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, ControlNetModel, DDPMScheduler, UNet2DConditionModel
from measuring import command_line

from augment.lumen.bases.base import DiffusionModel
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.bases.stable_diffusion import StableDiffusion
from augment.lumen.cost.meter import Meter
from augment.lumen.grids import to_unit
from augment.lumen.options import AdaptOptions
from augment.lumen.training.adapter_training import train_adapter
from augment.lumen.training.examples import text_arrays
from augment.progress import TrainingStep
from pipeline.stages.encoded_samples import CAPTION as STORED_CAPTION
from pipeline.stages.encoded_samples import StoredSamples
from pipeline.store import Manifest, Sample, Store

COMPONENTS = 20
CAPTION = "a photo of a street, day"


class EnoughSteps(Exception):  # noqa: N818 - it says what happened
    """The steps to measure are done."""


def mid_size(tiny: DiffusionModel) -> DiffusionModel:
    """A model with random weights in the proportions of Stable Diffusion 1.5, at half its width."""
    assert isinstance(tiny, StableDiffusion)
    torch.manual_seed(0)
    width = tiny.unet.config.cross_attention_dim
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(64, 128, 256, 256),
        layers_per_block=2,
    )
    unet = UNet2DConditionModel(
        block_out_channels=(160, 320, 640, 640), cross_attention_dim=width, attention_head_dim=8, sample_size=32
    )
    model = StableDiffusion("mid", vae, tiny.schedule, unet, tiny.text_encoder, tiny.tokenizer)
    for part in model.parts.values():
        part.eval().requires_grad_(False)
    return model


def documented(base: DiffusionModel, images: np.ndarray, batch: int) -> Callable[[], float]:
    """The loop of diffusers; each call takes a step and returns its CPU seconds."""
    assert isinstance(base, StableDiffusion)
    torch.manual_seed(0)
    controlnet = ControlNetModel.from_unet(base.unet).train()
    optimizer = torch.optim.AdamW(controlnet.parameters(), lr=1e-4, weight_decay=1e-2)
    schedule = DDPMScheduler.from_config(base.schedule)
    choices = np.random.default_rng(0)

    def step() -> float:
        started = time.process_time()
        pixels = to_unit(images[choices.integers(len(images), size=batch)])
        with torch.no_grad():
            latents = base.encode_pixels(pixels)
            text = base.embed([CAPTION] * batch, *pixels.shape[2:])
        noise = torch.randn_like(latents)
        levels = torch.randint(0, schedule.config.num_train_timesteps, (batch,))
        noisy = schedule.add_noise(latents, noise, levels)
        down, middle = controlnet(noisy, levels, text.embeddings, controlnet_cond=(pixels + 1) / 2, return_dict=False)
        prediction = base.denoise(noisy, levels, text, (*down, middle))
        F.mse_loss(prediction.float(), noise).backward()
        torch.nn.utils.clip_grad_norm_(controlnet.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return time.process_time() - started

    return step


def stored(base: DiffusionModel, images: np.ndarray, folder: Path) -> StoredSamples:
    """What `encode` and `extract` write of the images, in stores."""
    height, width = images.shape[1] // 8, images.shape[2] // 8
    layouts = np.random.default_rng(0).normal(size=(len(images), COMPONENTS, height, width)).astype(np.float16)
    with torch.no_grad():
        latents = base.encode(images).half().numpy()
        empty, text = text_arrays(base.embed(["", CAPTION], *images.shape[1:3]))
    keys = [f"k{number}" for number in range(len(images))]
    samples = {
        "layouts": [Sample(key, layout=layout) for key, layout in zip(keys, layouts, strict=True)],
        "latents": [
            Sample(key, latents=own, text=text, metadata={STORED_CAPTION: CAPTION})
            for key, own in zip(keys, latents, strict=True)
        ],
    }
    for name, content in samples.items():
        Store.create(str(folder / name), Manifest(name, None, {})).write_shard("train-000000", content)
    return StoredSamples(str(folder / "latents"), str(folder / "layouts"), keys, ("",), 0, empty)


def adapting(base: DiffusionModel, encoded: StoredSamples, batch: int, steps: int) -> list[float]:
    """CPU seconds of each step of `adapt` after the first ones, in which the first batches are read."""
    torch.manual_seed(0)
    moments: list[float] = []

    def on_step(step: TrainingStep) -> None:
        moments.append(time.process_time())
        if step.step == 2 * steps:
            raise EnoughSteps

    options = AdaptOptions(steps=10**6, batch_size=batch, checkpoint_every=10**6, checkpoint_minutes=10**4)
    with tempfile.TemporaryDirectory() as folder, suppress(EnoughSteps):
        train_adapter(base, base.new_adapter(COMPONENTS), encoded, (), options, Path(folder), on_step, "fp32")
    return np.diff(moments)[steps - 1 :].tolist()


def most_memory(base: DiffusionModel, loop: Callable[[], object]) -> float:
    """MiB that tensors take at once while a loop runs, and those of the base."""
    frozen = [weight for part in base.parts.values() for weight in part.parameters()]
    with Meter(frozen) as meter:
        loop()
    return (meter.peak + sum(weight.nbytes for weight in frozen)) / 2**20


def compare(base: DiffusionModel, images: np.ndarray, encoded: StoredSamples, options: argparse.Namespace) -> None:
    """Print times and memory of both loops."""
    theirs: list[float] = []
    ours: list[float] = []
    for _ in range(options.rounds):
        step = documented(base, images, options.batch)
        step()
        theirs += [step() for _ in range(options.steps)]
        ours += adapting(base, encoded, options.batch, options.steps)
    figures = {"documented loop, s": statistics.median(theirs), "adapt, s": statistics.median(ours)}
    ratio = figures["documented loop, s"] / figures["adapt, s"]
    print(json.dumps({**{name: round(value, 3) for name, value in figures.items()}, "ratio": round(ratio, 2)}))

    def documented_steps() -> None:
        step = documented(base, images, options.batch)
        step(), step()

    average = sum(weight.nbytes for weight in base.new_adapter(COMPONENTS).parameters()) / 2**20
    memory = {
        "documented loop, MiB": most_memory(base, documented_steps),
        "adapt, MiB": most_memory(base, lambda: adapting(base, encoded, options.batch, 1)) - average,
        "its average, MiB": average,
    }
    print(json.dumps({name: round(value) for name, value in memory.items()}))


def main() -> int:
    """Print the figures as JSON."""
    parser = command_line(__doc__)
    parser.add_argument("--base", choices=("lumen-tiny", "mid"), default="lumen-tiny")
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5, help="steps of each loop in a round")
    parser.add_argument("--rounds", type=int, default=3)
    options: argparse.Namespace = parser.parse_args()
    torch.set_num_threads(1)
    base = load_diffusion_model("lumen-tiny")
    if options.base == "mid":
        base = mid_size(base)
    shape = (4, options.height, options.width, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        encoded = stored(base, images, Path(folder))
        compare(base, images, encoded, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
