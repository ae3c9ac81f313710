"""Print the memory and operations that training an adapter takes, by batch and gradient checkpointing.

Nothing is computed: the models have shapes and no values. Without --base they are those of Stable Diffusion 1.5, on a
GPU, with a base in bf16 and an adapter of 20 components in float32.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from measuring import command_line
from transformers import CLIPTextConfig

from augment.loading import quiet
from augment.lumen.cost.cost import Models
from augment.lumen.cost.devices import PEAKS, UTILISATION, Device
from augment.lumen.cost.shapes import Shapes
from augment.lumen.cost.training import training_cost
from augment.lumen.options import AdaptOptions
from augment.lumen.zoo import ZOO

GIB = 2**30
BATCHES = (1, 2, 4, 8, 16)
GPUS = ("A100", "H100")


def main() -> None:
    """Print the table."""
    parser = command_line(__doc__)
    parser.add_argument("--base", help="a folder in diffusers layout or a hub id")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 1024), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--micro-batch", type=int, help="samples that go through the model together")
    parser.add_argument("--components", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = Models(options.base or stable_diffusion(Path(folder)), None, options.components)
        shapes = Shapes.to_train(models, *options.size, "cuda", "bf16")
        print("| batch | checkpointing | models | state | activations | GiB in all | cards, GB | TFLOP | s a step |")
        print("| ---: | --- | ---: | ---: | ---: | ---: | --- | ---: | --- |")
        for batch in BATCHES:
            for again in (False, True):
                training = AdaptOptions(batch_size=batch, gradient_checkpointing=again, micro_batch=options.micro_batch)
                print(row(shapes, training))


def row(shapes: Shapes, options: AdaptOptions) -> str:
    """A line of the table."""
    cost = training_cost(shapes, options)
    card = Device("", True, None, 1.0)
    cards = card.cards(cost.memory)
    seconds = [f"{cost.flops / (1e12 * PEAKS[(gpu,)] * UTILISATION):.2f} ({gpu})" for gpu in GPUS]
    sizes = [f"{size / GIB:.1f}" for size in (cost.weights, cost.state, cost.working, cost.memory)]
    cells = [
        str(options.batch_size),
        "yes" if options.gradient_checkpointing else "no",
        *sizes,
        f"from {cards[0]}" if cards else "none",
        f"{cost.flops / 1e12:.1f}",
        ", ".join(seconds),
    ]
    return f"| {' | '.join(cells)} |"


def stable_diffusion(folder: Path) -> str:
    """Write the configurations of Stable Diffusion 1.5 to a folder, with a tokenizer of another model."""
    widths = (128, 256, 512, 512)
    with torch.device("meta"), quiet():
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=widths,
            layers_per_block=2,
        )
    unet.save_config(folder / "unet")
    vae.save_config(folder / "vae")
    text = CLIPTextConfig(
        vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
    )
    text.save_pretrained(folder / "text_encoder")
    for part in ("tokenizer", "scheduler"):
        shutil.copytree(ZOO / "lumen-tiny" / part, folder / part)
    path = folder / "tokenizer" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": text.max_position_embeddings}))
    shutil.copy(ZOO / "lumen-tiny" / "model_index.json", folder)
    return str(folder)


if __name__ == "__main__":
    main()
