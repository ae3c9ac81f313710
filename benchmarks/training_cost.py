"""What a training of the adapter costs: floating-point operations counted on the meta device, and hours from these.

    python benchmarks/training_cost.py

The operations of one sample and step are those that `lumen plan` counts for Stable Diffusion 1.5 and an adapter for it,
without weights. The hours are those that it would say too, divided by the number of GPUs. They are estimates: they
assume that gradients are exchanged while others are computed, and leave out sample grids.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from measuring import command_line

from augment.loading import quiet
from augment.lumen.bases.stable_diffusion import StableDiffusion
from augment.lumen.bases.text import Text
from augment.lumen.cost.cost import Cost
from augment.lumen.cost.devices import PEAKS, Device
from augment.lumen.cost.shapes import Shapes
from pipeline.config.compose import load_config

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of Stable Diffusion 1.5; the others are the defaults of diffusers.
WIDTH, TOKENS = 768, 77
VAE_CHANNELS = (128, 256, 512, 512)
CARDS = ("A100", "H100")
RECIPES = ("coco_stuff", "cityscapes", "ade20k", "bdd100k", "idd")
GPUS = (1, 8, 64)


@dataclass
class WithoutText(StableDiffusion):
    """Stable Diffusion without its text encoder, whose operations are not those of a step."""

    def embed(self, prompts: Sequence[str], height: int, width: int) -> Text:  # noqa: ARG002 - see `DiffusionModel`
        """Embeddings without values."""
        return Text(torch.empty(len(prompts), TOKENS, WIDTH, device="meta"))


@cache
def cost(height: int, width: int, num_components: int, batch: int = 1, *, checkpointing: bool = False) -> Cost:
    """The cost of a step of some samples, for images of that size, on one GPU in bf16."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    with torch.device("meta"):
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=WIDTH, attention_head_dim=8)
        vae = AutoencoderKL(block_out_channels=VAE_CHANNELS, layers_per_block=2, **blocks)
        base = WithoutText("stable-diffusion-1-5", vae, {}, unet, torch.nn.Identity(), None)
        for part in base.parts.values():
            part.eval().requires_grad_(False)
        adapter = base.new_adapter(num_components)
    with quiet():
        unet.to(torch.bfloat16)
    shapes = Shapes(base, adapter, height, width, torch.bfloat16)
    return shapes.training(batch, gradient_checkpointing=checkpointing)


def main() -> None:
    """Print the cost of each recipe."""
    command_line(__doc__).parse_args()
    heads = ["recipe", "size", "steps", "batch", "TFLOP a sample", *(f"{gpu} x{n}" for gpu in CARDS for n in GPUS)]
    print(f"| {' | '.join(heads)} |\n| --- |{' ---: |' * (len(heads) - 1)}")
    for name in RECIPES:
        config = load_config(name, ["dataset.root=/data"])
        adapt, size = config.adapt, config.geometry
        flops = cost(size.height, size.width, config.layout.k_max, checkpointing=adapt.gradient_checkpointing).flops
        cards = [Device(card, True, None, 1e12 * PEAKS[(card,)]) for card in CARDS]
        whole = flops * adapt.steps * adapt.batch_size
        times = [card.seconds(whole) / 3600 / count for card in cards for count in GPUS]
        figures = [f"{size.height} x {size.width}", f"{adapt.steps:,}", f"{adapt.batch_size}", f"{flops / 1e12:.2f}"]
        figures += [f"{time:.1f}" if time >= 1 else f"{time:.2f}" for time in times]
        print(f"| `{name}` | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()
