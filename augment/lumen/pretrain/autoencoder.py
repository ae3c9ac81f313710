"""A small autoencoder with stride 8, from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from augment.lumen.grids import save_grid, to_pixels, to_unit
from augment.lumen.pretrain.images import random_crop
from augment.lumen.trainer import Trainer, TrainingOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from diffusers import AutoencoderKL
    from torch import Tensor

    from augment.lumen.pretrain.images import ImageSource

KL_WEIGHT = 1e-6
DETAIL_WEIGHT = 1.0


def new_autoencoder(channels: Sequence[int], latent_channels: int) -> AutoencoderKL:
    """An untrained `AutoencoderKL` with stride 8, one residual block a level and no attention.

    Args:
        channels: four widths, from full resolution to stride 8, each a multiple of 8.
        latent_channels: channels of the latent.
    """
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=tuple(channels),
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=8,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )


def train_autoencoder(
    sources: Sequence[ImageSource],
    model: AutoencoderKL,
    options: TrainingOptions,
    folder: Path,
    device: torch.device,
    log: Callable[[str], None],
) -> None:
    """Train the autoencoder on random crops, then set its `scaling_factor` so that latents have unit variance.

    The loss is the mean absolute error of the pixels and of a Laplacian pyramid of them, which weighs detail,
    plus a light Kullback-Leibler term.

    Args:
        sources: what to learn from; each step draws its batch from one of them.
        model: trained in place.
        options, folder, device, log: see `Trainer`.
    """
    model.to(device=device, memory_format=torch.channels_last).train()
    shares = np.array([source.weight for source in sources]) / sum(source.weight for source in sources)
    trainer = Trainer({"vae": model}, options, folder, device)

    def batch(generator: np.random.Generator, count: int) -> Tensor:
        source = sources[int(generator.choice(len(sources), p=shares))]
        picks = [source.images[i].pixels for i in generator.integers(len(source.images), size=count)]
        crops = np.stack(
            [random_crop(pixels, source.height, source.width, source.smallest, generator) for pixels in picks]
        )
        return to_unit(crops).to(device, memory_format=torch.channels_last)

    def losses(_step: int, generator: np.random.Generator) -> dict[str, Tensor]:
        target = batch(generator, options.batch_size)
        posterior = model.encode(target).latent_dist
        output = model.decode(posterior.sample()).sample
        return {
            "pixel": F.l1_loss(output.float(), target),
            "detail": DETAIL_WEIGHT * laplacian_loss(output.float(), target),
            "kl": KL_WEIGHT * posterior.kl().mean(),
        }

    def sample(step: int) -> None:
        target = batch(np.random.default_rng((options.seed, 1 << 40)), 8)
        output = model.decode(model.encode(target).latent_dist.mode()).sample
        rows = [to_pixels(target), to_pixels(output)]
        save_grid(rows, folder / "samples" / f"{step:06d}.png")

    trainer.run(losses, log, sample)
    model.eval()
    with torch.no_grad():
        generator = np.random.default_rng((options.seed, 1 << 41))
        latents = [model.encode(batch(generator, 16)).latent_dist.mode().flatten() for _ in range(16)]
    deviation = torch.cat(latents).std().item()
    model.register_to_config(scaling_factor=1 / deviation)


def laplacian_loss(output: Tensor, target: Tensor, levels: int = 3) -> Tensor:
    """Mean absolute error of the band-pass levels of two batches `[B, 3, H, W]`, summed over `levels` octaves."""
    loss = output.new_zeros(())
    difference = output - target
    for _ in range(levels):
        low = F.avg_pool2d(difference, 2)
        loss = loss + (difference - F.interpolate(low, scale_factor=2.0)).abs().mean()
        difference = low
    return loss
