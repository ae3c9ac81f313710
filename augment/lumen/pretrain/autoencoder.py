"""A small autoencoder with stride 8: its encoder in closed form, its decoder learned.

The encoder projects each 8 x 8 patch on the principal components of all patches. No linear encoder loses less, and it
needs no training. All capacity goes to the decoder, which sees a patch's neighbours and so restores more than the
components hold. Components are scaled by the root of their standard deviation, half way to unit variance: coarse
structure then survives more noise than fine texture, and a diffusion model decides it first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from augment.layouts.moments import FeatureMoments
from augment.lumen.grids import save_grid, to_pixels, to_unit
from augment.lumen.training.trainer import Trainer
from augment.stride import STRIDE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from diffusers import AutoencoderTiny
    from torch import Tensor

    from augment.backbones import LayeredBackbone
    from augment.lumen.options import ScratchOptions
    from augment.lumen.pretrain.images import ImageSource
    from augment.progress import OnStep


PATCH_CHANNELS = 48
LATENT_NOISE = 0.4
FEATURE_LAYERS = 12
FEATURE_WEIGHT = 0.5
DECODER_BLOCKS = (4, 3, 2, 1)


def new_autoencoder(sources: Sequence[ImageSource], latent_channels: int, seed: int) -> AutoencoderTiny:
    """An `AutoencoderTiny` with a finished encoder and an untrained decoder.

    Args:
        sources: images; the encoder's components are fitted on their patches.
        latent_channels: components to keep, at most 48.
        seed: of the crops.
    """
    from diffusers import AutoencoderTiny

    model = AutoencoderTiny(
        encoder_block_out_channels=(PATCH_CHANNELS,) * 4,
        decoder_block_out_channels=(PATCH_CHANNELS,) * 4,
        num_encoder_blocks=(0, 0, 0, 0),
        num_decoder_blocks=DECODER_BLOCKS,
        latent_channels=latent_channels,
    )
    moments = FeatureMoments.merged(
        FeatureMoments.of(patches(to_unit(crop[None])).reshape(-1, 3 * STRIDE**2).numpy())
        for source in sources
        for crop in source.crops(seed, turns=1)
    )
    values, vectors = np.linalg.eigh(moments.covariance)
    order = np.argsort(values)[::-1][:latent_channels]
    deviations = np.sqrt(values[order])
    target = np.sqrt(deviations / deviations[0])
    weight = (vectors[:, order] * (target / deviations)).T
    set_linear_encoder(model.encoder.layers, weight, -weight @ moments.mean)
    model.register_to_config(scaling_factor=float(1 / np.sqrt(np.mean(target**2))))
    return model


def patches(pixels: Tensor) -> Tensor:
    """Cut `[B, 3, H, W]` into patches `[B, H / 8, W / 8, 3 * 64]`: colour first, then row and column."""
    return F.pixel_unshuffle(pixels, STRIDE).permute(0, 2, 3, 1)


@torch.no_grad()
def set_linear_encoder(layers: nn.Sequential, weight: np.ndarray, bias: np.ndarray) -> None:
    """Make the five convolutions of an encoder without blocks compute `weight @ patch + bias`.

    Two convolutions of stride 2 gather 4 x 4 pixels without loss (48 channels), the third gathers four of those and
    applies the weights. The model maps its input from -1..1 to 0..1 first.

    Args:
        layers: convolution, three convolutions of stride 2, convolution.
        weight: `float64 [L, 192]`, in the order of `patches`.
        bias: `float64 [L]`.
    """
    first, half, quarter, eighth, last = convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    for layer in convolutions:
        layer.weight.zero_()
    for colour in range(3):
        first.weight[colour, colour, 1, 1] = 1
    for layer, channels in ((half, 3), (quarter, 12)):
        for channel in range(channels):
            for position in range(4):
                layer.weight[4 * channel + position, channel, 1 + position // 2, 1 + position % 2] = 1
    count = len(weight)
    # Channel 16 c + 4 p + q of the 48 holds colour c at row 2 (q // 2) + p // 2 and column 2 (q % 2) + p % 2.
    grid = torch.from_numpy(weight.reshape(count, 3, STRIDE, STRIDE)).float()
    for channel in range(PATCH_CHANNELS):
        colour, inner, outer = channel // 16, channel // 4 % 4, channel % 4
        row, column = 2 * (outer // 2) + inner // 2, 2 * (outer % 2) + inner % 2
        for block in range(4):
            top, left = 4 * (block // 2) + row, 4 * (block % 2) + column
            eighth.weight[:count, channel, 1 + block // 2, 1 + block % 2] = 2 * grid[:, colour, top, left]
    for component in range(count):
        last.weight[component, component, 1, 1] = 1
    assert first.bias is not None and last.bias is not None
    first.bias.zero_()
    last.bias.copy_(torch.from_numpy(bias - weight.sum(axis=1)).float())


def train_decoder(
    sources: Sequence[ImageSource],
    model: AutoencoderTiny,
    backbone: LayeredBackbone,
    options: ScratchOptions,
    seed: int,
    folder: Path,
    device: torch.device,
    on_step: OnStep,
) -> None:
    """Train the decoder in place on random crops; an interrupted run resumes from `folder`.

    The loss is the mean absolute error of the pixels, of the levels of a Laplacian pyramid of them, and of the
    features of a foundation model: early layers separate texture from blur, late ones represent content. The latents
    get noise, because those of a diffusion model are never exact, and a decoder that relies on their finest components
    paints grain. Writes sample grids to `samples/` (rows: real, restored).

    Args:
        sources: training images; each step takes its batch from one of them.
        model: with a finished encoder.
        backbone: gives the features to compare.
        options, seed, folder, device, on_step: see `Trainer`.
    """
    model.to(device=device, memory_format=torch.channels_last).train()
    model.encoder.requires_grad_(False)
    weights = [source.options.weight for source in sources]
    shares = np.array(weights) / sum(weights)

    def batch(generator: np.random.Generator, count: int) -> Tensor:
        source = sources[int(generator.choice(len(sources), p=shares))]
        picks = [source.images[i] for i in generator.integers(len(source.images), size=count)]
        crops = [source.random_crop(image, generator) for image in picks]
        return to_unit(np.stack(crops)).to(device, memory_format=torch.channels_last)

    def restored(target: Tensor, noise: float = 0.0) -> Tensor:
        latents = model.encode(target).latents
        spread = noise * torch.rand(len(latents), 1, 1, 1, device=device) / model.config.scaling_factor
        return model.decode(latents + spread * torch.randn_like(latents)).sample.float()

    def losses(_step: int, generator: np.random.Generator) -> dict[str, Tensor]:
        target = batch(generator, options.batch_size)
        output = restored(target, LATENT_NOISE)
        return {
            "pixel": F.l1_loss(output, target),
            "detail": laplacian_loss(output, target),
            "features": FEATURE_WEIGHT * feature_loss(backbone, output, target, generator),
        }

    def sample(step: int) -> None:
        target = batch(np.random.default_rng((seed, 1 << 40)), 8)
        save_grid([to_pixels(target), to_pixels(restored(target))], folder / "samples" / f"{step:06d}.png")

    trainer = Trainer({"decoder": model.decoder}, options, folder, device, options.precision, seed, options.cooldown)
    trainer.run(losses, on_step, sample)
    model.eval().requires_grad_(False)


def laplacian_loss(output: Tensor, target: Tensor, levels: int = 3) -> Tensor:
    """Mean absolute error of the band-pass levels of two batches `[B, 3, H, W]`, summed over `levels` octaves."""
    loss = output.new_zeros(())
    difference = output - target
    for _ in range(levels):
        low = F.avg_pool2d(difference, 2)
        loss = loss + (difference - F.interpolate(low, scale_factor=2.0)).abs().mean()
        difference = low
    return loss


def feature_loss(backbone: LayeredBackbone, output: Tensor, target: Tensor, generator: np.random.Generator) -> Tensor:
    """Mean absolute error of a backbone's features of two batches `[B, 3, H, W]` in -1..1.

    Both are cut at the same random offset of less than one latent cell. Otherwise the patch grids of backbone and
    decoder would always coincide, and the decoder could fit that grid alone.
    """
    top, left = generator.integers(STRIDE, size=2)
    height, width = target.shape[2] - STRIDE, target.shape[3] - STRIDE
    window = (..., slice(top, top + height), slice(left, left + width))

    def tokens(pixels: Tensor) -> list[Tensor]:
        found = backbone.layer_tokens(pixels[window].clamp(-1, 1) / 2 + 0.5, FEATURE_LAYERS, STRIDE)
        return [F.layer_norm(part.float(), part.shape[-1:]) for part in found]

    with torch.no_grad():
        wanted = tokens(target)
    return torch.stack([F.l1_loss(got, want) for got, want in zip(tokens(output), wanted, strict=True)]).mean()
