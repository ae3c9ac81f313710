"""The sampler against the pipeline of diffusers for Stable Diffusion with a ControlNet, in turns, in one process.

Both have the same weights, prompts, noise and size, and paint the same number of images in batches.

- pipeline: `StableDiffusionControlNetPipeline` as its documentation uses it, with a list of prompts and of conditions.
  The free branch is given k = 0, as ours is, so that the images can be compared.
- exact: the sampler with the same scheduler, steps and precision, and the adapter in both branches of guidance.
- default: the options of a configuration that names none of them.
- nearer: the same with 12 steps.

What the last two lose is in the table of benchmarks/samplers.py; the difference here says how far images are apart.
On a CPU, times are those of the process; with a GPU, those of the clock.

    python benchmarks/sampling.py
    python benchmarks/sampling.py --models sd15 --device cuda --precision bf16 --height 512 --width 1024 --batch 8
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from measuring import command_line
from numpy.typing import NDArray

from augment.loading import quiet
from augment.lumen import zoo
from augment.lumen.adapter import LayoutControlNet, layout_planes, load_adapter
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.bases.stable_diffusion import StableDiffusion
from augment.lumen.precision import DTYPES
from augment.lumen.sampling.layout_sampler import LayoutSampler
from augment.lumen.sampling.loading import compile_network, use_fast_kernels
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.sampling.request import Request
from augment.lumen.sampling.schedule import new_scheduler

if TYPE_CHECKING:
    from augment.lumen.sampling.decoding import Images

PROMPT = "a photo of a street, day"
# Channels, attention heads and text width of models with random weights.
SHAPES: dict[str, dict[str, Any]] = {
    "mid": {"block_out_channels": (96, 192, 256), "cross_attention_dim": 128, "attention_head_dim": 4},
    "sd15": {"block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768, "attention_head_dim": 8},
}


def random_models(name: str) -> tuple[StableDiffusion, LayoutControlNet]:
    """A base of a known shape and an adapter of 20 components for it, both with random weights."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    shape = SHAPES[name]
    widths = shape["block_out_channels"]
    tiny = load_diffusion_model("lumen-tiny")
    assert isinstance(tiny, StableDiffusion)
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        **shape,
        down_block_types=("CrossAttnDownBlock2D",) * (len(widths) - 1) + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (len(widths) - 1),
    )
    vae_widths = (128, 256, 512, 512) if name == "sd15" else (32, 64, 64, 64)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=vae_widths,
        layers_per_block=2,
    )
    width = shape["cross_attention_dim"]
    config: Any = tiny.text_encoder.config
    text = CLIPTextConfig(
        vocab_size=config.vocab_size,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=12 if name == "sd15" else 4,
        num_attention_heads=width // 64,
        max_position_embeddings=config.max_position_embeddings,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
    )
    base = StableDiffusion(name, vae, tiny.schedule, unet, CLIPTextModel(text), tiny.tokenizer)
    adapter = base.new_adapter(20)
    for parameter in adapter.controlnet.controlnet_cond_embedding.conv_out.parameters():
        # An untrained adapter adds nothing.
        torch.nn.init.normal_(parameter, std=0.02)
    return base, adapter


def pipeline_of(base: StableDiffusion, adapter: LayoutControlNet, requests: Sequence[Request], stride: int) -> Any:
    """The pipeline of diffusers, whose conditions are the planes of layouts of the requests."""
    from diffusers import StableDiffusionControlNetPipeline

    class OnLayouts(StableDiffusionControlNetPipeline):
        def check_image(self, *_: Any) -> None:
            """Planes are no image."""

        def prepare_image(self, image: Any, *_: Any, **__: Any) -> torch.Tensor:
            layout = torch.from_numpy(np.stack([requests[i].layout for i in image])).to(base.device, adapter.dtype)
            ks = torch.tensor([int(requests[i].k) for i in image], device=base.device)
            planes = torch.cat([layout_planes(layout, torch.zeros_like(ks)), layout_planes(layout, ks)])
            return torch.nn.functional.interpolate(planes, scale_factor=float(stride), mode="nearest")

    parts = base.pipeline(adapter.controlnet).components
    pipeline = OnLayouts(**parts, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def main() -> None:
    """Measure and print a table."""
    parser = command_line(__doc__)
    parser.add_argument("--models", choices=("lumen-tiny", *SHAPES), nargs="+", default=["lumen-tiny", "mid"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=tuple(DTYPES), default="fp32", help="of all three")
    parser.add_argument("--height", type=int, default=96)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20, help="of the pipeline, with DDIM")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", default=None, help="mode of torch.compile, for the default")
    options = parser.parse_args()
    if options.device == "cpu":
        torch.set_num_threads(1)
    print("| model | images by | seconds | CPU seconds | busy | speed | difference: mean | largest |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for name in options.models:
        measure(name, options)


def measure(name: str, options: Any) -> None:
    """Print the rows of one model."""
    device, dtype = torch.device(options.device), DTYPES[options.precision]

    def models() -> tuple[StableDiffusion, LayoutControlNet]:
        if name == "lumen-tiny":
            base: Any = load_diffusion_model(name)
            adapter = load_adapter(zoo.ZOO / name / "adapter")
        else:
            base, adapter = random_models(name)
        with quiet():
            for part in (*base.parts.values(), adapter):
                part.eval().requires_grad_(False).to(device, dtype)
        return base, adapter

    base, adapter = models()
    requests = [smooth_request(index, options.height // 8, options.width // 8) for index in range(options.images)]
    order = list(range(options.images))
    batches = [order[start : start + options.batch] for start in range(0, options.images, options.batch)]
    exact = SamplerOptions(
        scheduler="ddim",
        num_steps=options.steps,
        guidance_interval=(0, 1),
        control_free_branch=True,
        precision=options.precision,
    )
    settings = {
        "default": SamplerOptions(precision=options.precision),
        "nearer": SamplerOptions(precision=options.precision, num_steps=12),
    }

    def ready(mode: str | None) -> tuple[StableDiffusion, LayoutControlNet]:
        """As `load_sampler` makes them ready to sample."""
        fast, reader = models()
        fast.vae.to(memory_format=torch.channels_last)
        for network in (fast.network, reader.controlnet):
            if device.type == "cuda":
                use_fast_kernels(network)
            if mode is not None:
                compile_network(network, mode)
        return fast, reader

    plain = ready(None)
    fast = plain if options.compile is None else ready(options.compile)
    samplers = {"exact": LayoutSampler(*plain, exact)}
    samplers |= {key: LayoutSampler(*fast, setting) for key, setting in settings.items()}
    pipeline = pipeline_of(base, adapter, requests, 8 // base.stride)
    pipeline.scheduler = new_scheduler(base.schedule, exact)
    noise = torch.stack([samplers["exact"].noise(request)[0] for request in requests])

    def by_pipeline() -> list[Any]:
        images: list[Any] = []
        for batch in batches:
            images += pipeline(
                [PROMPT] * len(batch),
                batch,
                height=options.height,
                width=options.width,
                num_inference_steps=options.steps,
                guidance_scale=exact.guidance_scale,
                latents=noise[batch].to(device, dtype),
            ).images
        return [np.asarray(image) for image in images]

    def by_sampler(sampler: LayoutSampler) -> list[NDArray[np.uint8]]:
        # As the engine does: a batch begins before the one before is waited for.
        images: list[NDArray[np.uint8]] = []
        waiting: Images = list
        for batch in batches:
            before, waiting = waiting, sampler.begin([requests[i] for i in batch])
            images += before()
        return images + waiting()

    loops: dict[str, Callable[[], list[Any]]] = {"pipeline": by_pipeline}
    loops |= {key: lambda sampler=sampler: by_sampler(sampler) for key, sampler in samplers.items()}  # type: ignore[misc]
    images = {key: np.stack(loop()).astype(int) for key, loop in loops.items()}
    times: dict[str, list[tuple[float, float, float]]] = {key: [] for key in loops}
    for _ in range(options.rounds):
        for key, loop in loops.items():
            times[key].append(timed(loop, device))
    middle = {key: [median(column) for column in zip(*found, strict=True)] for key, found in times.items()}
    # On a CPU that others use too, the time of the process says more than that of the clock.
    judged = 0 if device.type == "cuda" else 1
    for key, (wall, cpu, busy) in middle.items():
        apart = np.abs(images[key] - images["pipeline"])
        speed = middle["pipeline"][judged] / middle[key][judged]
        share = f"{busy / wall:.0%}" if device.type == "cuda" else ""
        title = {"pipeline": f"pipeline: DDIM, {options.steps} steps", "exact": "sampler: exact"}.get(key)
        if title is None:
            setting = settings[key]
            first, last = setting.guidance_interval
            title = f"sampler: {setting.scheduler}, {setting.num_steps} steps, guidance on {first:g}..{last:g}"
        cells = f"{wall:.2f} | {cpu:.2f} | {share} | {speed:.2f} | {apart.mean():.2f} | {apart.max()}"
        print(f"| {name} | {title} | {cells} |", flush=True)


def smooth_request(index: int, rows: int, columns: int) -> Request:
    """A layout of smooth random patches, all 20 components, and its seed."""
    coarse = torch.from_numpy(
        np.random.default_rng(index).normal(size=(1, 20, max(2, rows // 4), max(2, columns // 4)))
    )
    layout = torch.nn.functional.interpolate(coarse, (rows, columns), mode="bicubic")[0].numpy().astype(np.float16)
    return Request(layout, 20, PROMPT, index)


def timed(loop: Callable[[], object], device: torch.device) -> tuple[float, float, float]:
    """Seconds of the clock, of the process, and of kernels on the GPU."""
    if device.type != "cuda":
        wall, cpu = time.perf_counter(), time.process_time()
        loop()
        return time.perf_counter() - wall, time.process_time() - cpu, 0.0
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    loop()
    torch.cuda.synchronize()
    clock, process = time.perf_counter() - wall, time.process_time() - cpu
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        loop()
        torch.cuda.synchronize()
    return clock, process, sum(event.self_device_time_total for event in trace.key_averages()) / 1e6


if __name__ == "__main__":
    main()
