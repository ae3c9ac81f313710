"""What a training of the adapter costs: floating-point operations counted on the meta device, and hours from these.

    python benchmarks/training_cost.py

The operations of one sample and step are those that torch counts in a forward and backward pass of the U-Net of Stable
Diffusion 1.5 and of an adapter for it, without weights. A recipe takes

    hours = steps * batch_size * operations / (GPUs * peak * utilisation * 3600)

where peak and utilisation are those of `augment.lumen.cost.devices`, which `lumen plan` uses too. The hours are
estimates: they assume that gradients are exchanged while others are computed, and leave out sample grids.
"""

from __future__ import annotations

from functools import cache

import torch
from measuring import command_line
from torch.utils.flop_counter import FlopCounterMode

from augment.lumen.adapter import LayoutControlNet
from augment.lumen.bases.text import Text
from augment.lumen.cost.devices import PEAKS, UTILISATION
from augment.stride import STRIDE
from pipeline.config.compose import load_config

# Of Stable Diffusion 1.5; the others are the defaults of diffusers.
SD15 = {"cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64}
TOKENS = 77
CARDS = ("A100", "H100")
RECIPES = ("coco_stuff", "cityscapes", "ade20k", "bdd100k", "idd")
GPUS = (1, 8, 64)


@cache
def operations(height: int, width: int, num_components: int, *, checkpointing: bool = False) -> float:
    """Floating-point operations of one sample in one step, for an image of that size."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**SD15)
        adapter = LayoutControlNet.from_base(unet, num_components).train()
        unet.requires_grad_(False)
        rows, columns = height // STRIDE, width // STRIDE
        latents = torch.empty(1, 4, rows, columns)
        layout = torch.empty(1, num_components, rows, columns)
        steps, k = torch.zeros(1, dtype=torch.int64), torch.full((1,), num_components)
        text = Text(torch.empty(1, TOKENS, SD15["cross_attention_dim"]))
    if checkpointing:
        unet.enable_gradient_checkpointing()
        adapter.controlnet.enable_gradient_checkpointing()
        unet.train()
    with FlopCounterMode(display=False) as counter:
        *down, middle = adapter(latents, steps, text, layout, k)
        predicted = unet(
            latents,
            steps,
            text.embeddings,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
        predicted.square().mean().backward()
    return float(counter.get_total_flops())


def hours(samples: float, of_sample: float, gpus: int, peak: float, utilisation: float) -> float:
    """Hours of a training; `peak` in operations a second."""
    return samples * of_sample / (gpus * peak * utilisation * 3600)


def main() -> None:
    """Print the cost of each recipe."""
    parser = command_line(__doc__)
    parser.add_argument("--utilisation", type=float, default=UTILISATION, help="share of the peak that is reached")
    arguments = parser.parse_args()
    heads = ["recipe", "size", "steps", "batch", "TFLOP a sample", *(f"{gpu} x{n}" for gpu in CARDS for n in GPUS)]
    print(f"| {' | '.join(heads)} |\n| --- |{' ---: |' * (len(heads) - 1)}")
    for name in RECIPES:
        config = load_config(name, ["dataset.root=/data"])
        adapt, size = config.adapt, config.geometry
        cost = operations(size.height, size.width, config.layout.k_max, checkpointing=adapt.gradient_checkpointing)
        samples = adapt.steps * adapt.batch_size
        peaks = [1e12 * PEAKS[(card,)] for card in CARDS]
        times = [hours(samples, cost, count, peak, arguments.utilisation) for peak in peaks for count in GPUS]
        figures = [f"{size.height} x {size.width}", f"{adapt.steps:,}", f"{adapt.batch_size}", f"{cost / 1e12:.1f}"]
        figures += [f"{time:.1f}" if time >= 1 else f"{time:.2f}" for time in times]
        print(f"| `{name}` | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()
