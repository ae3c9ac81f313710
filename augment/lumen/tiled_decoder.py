"""Decoding large latents in tiles: the same image as at once, in the memory of one tile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from diffusers.models.autoencoders.vae import DecoderTiny
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_2d_blocks import AutoencoderTinyBlock, UpDecoderBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn

from augment.errors import UserError

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, AutoencoderTiny

Function = Callable[..., Tensor]


@dataclass(frozen=True)
class TiledDecoder:
    """The decoder of an autoencoder, one layer after the other, each in tiles over the whole image.

    A tile of a layer reads the cells around it that the convolution needs, and a group normalisation takes its mean and
    variance over all tiles. So the result is that of the decoder at once, up to the order of sums; no tiles are
    blended. (The tiling of diffusers runs all layers on each tile alone, with other means and variances, and blends.)
    The activations of the whole image are in the memory of the host, those of one tile on the device. The middle block
    of AutoencoderKL, with attention over all cells, runs at once: at the size of the latents it is small.

    Attributes:
        vae: on the device to decode on.
        tile: pixels of a side of the tiles.
    """

    vae: AutoencoderKL | AutoencoderTiny
    tile: int

    def __call__(self, latents: Tensor) -> Tensor:
        """Decode `[B, C, h, w]`, as `vae.decode` takes them, into pixels `[B, 3, H, W]` in -1..1 on the host.

        Raises:
            UserError: the decoder has a layer of an unknown kind.
        """
        return torch.cat([self._decoded(one[None]) for one in latents])

    def _decoded(self, latents: Tensor) -> Tensor:
        decoder = self.vae.decoder
        if isinstance(decoder, DecoderTiny):
            hidden = (torch.tanh(latents / 3) * 3).cpu()
            for layer in decoder.layers:
                hidden = self._layer(layer, hidden)
            return hidden.mul(2).sub(1)
        if self.vae.post_quant_conv is not None:
            latents = self.vae.post_quant_conv(latents)
        hidden = decoder.mid_block(decoder.conv_in(latents)).cpu()
        for block in decoder.up_blocks:
            if type(block) is not UpDecoderBlock2D:
                raise unknown(block)
            for layer in [*block.resnets, *(block.upsamplers or ())]:
                hidden = self._layer(layer, hidden)
        norm = self._norm(decoder.conv_norm_out, hidden)
        return self._tiled(lambda part: decoder.conv_out(decoder.conv_act(norm(part))), [hidden], halo=1)

    def _layer(self, layer: nn.Module, hidden: Tensor) -> Tensor:
        """The output of a layer for the whole image."""
        if isinstance(layer, ResnetBlock2D):
            return self._resnet(layer, hidden)
        if isinstance(layer, AutoencoderTinyBlock):
            # Three convolutions of 3 x 3.
            return self._tiled(layer, [hidden], halo=3)
        if isinstance(layer, nn.Conv2d) and layer.stride == (1, 1):
            return self._tiled(layer, [hidden], halo=layer.kernel_size[0] // 2)
        if isinstance(layer, Upsample2D) and layer.use_conv and not layer.use_conv_transpose and layer.norm is None:
            return self._tiled(layer, [hidden], halo=1, scale=2)
        if isinstance(layer, nn.Upsample) and layer.mode == "nearest" and layer.scale_factor is not None:
            return self._tiled(layer, [hidden], scale=int(float(str(layer.scale_factor))))
        if not list(layer.parameters()):
            # An activation.
            return self._tiled(layer, [hidden])
        raise unknown(layer)

    def _resnet(self, block: ResnetBlock2D, hidden: Tensor) -> Tensor:
        first = self._norm(block.norm1, hidden)
        middle = self._tiled(lambda part: block.conv1(block.nonlinearity(first(part))), [hidden], halo=1)
        second = self._norm(block.norm2, middle)

        def end(part: Tensor, inner: Tensor) -> Tensor:
            added = part if block.conv_shortcut is None else block.conv_shortcut(part)
            return (added + block.conv2(block.nonlinearity(second(inner)))) / block.output_scale_factor

        return self._tiled(end, [hidden, middle], halo=1)

    def _norm(self, norm: nn.Module, hidden: Tensor) -> Function:
        """A group normalisation of parts of an activation, by the mean and variance of all of it."""
        if not isinstance(norm, nn.GroupNorm):
            raise unknown(norm)
        groups, device = norm.num_groups, self.vae.device
        total = torch.zeros(2, len(hidden), groups, dtype=torch.float64, device=device)
        for rows in hidden.split(self._rows(hidden), dim=2):
            # In parts of one group and few rows, because float64 takes twice the memory of float32.
            values = rows.to(device).reshape(len(hidden), groups, -1)
            for group in range(groups):
                of_group = values[:, group].double()
                total[0, :, group] += of_group.sum(1)
                total[1, :, group] += of_group.square().sum(1)
        mean, square = total / (hidden[0].numel() // groups)
        deviation = (square - mean.square()).clamp(min=0).add(norm.eps).sqrt()
        per_group = hidden.shape[1] // groups
        gain = norm.weight * deviation.reciprocal().float().repeat_interleave(per_group, 1)
        shift = norm.bias - mean.float().repeat_interleave(per_group, 1) * gain
        return lambda part: torch.addcmul(shift[:, :, None, None], part.float(), gain[:, :, None, None]).to(part.dtype)

    def _rows(self, hidden: Tensor) -> int:
        """Rows of the whole width with about as many cells as a tile."""
        return max(1, self.tile**2 // hidden.shape[-1])

    def _tiled(self, function: Function, inputs: list[Tensor], halo: int = 0, scale: int = 1) -> Tensor:
        """Apply a function to tiles of the inputs, each with `halo` more cells on each side where there are any."""
        height, width = inputs[0].shape[-2:]
        output: Tensor | None = None
        step = self.tile // scale
        for top in range(0, height, step):
            for left in range(0, width, step):
                bottom, right = min(top + step, height), min(left + step, width)
                above, before = max(0, top - halo), max(0, left - halo)
                parts = [one[..., above : bottom + halo, before : right + halo].to(self.vae.device) for one in inputs]
                found = function(*parts)
                inner = found[..., (top - above) * scale :, (left - before) * scale :]
                rows, columns = (bottom - top) * scale, (right - left) * scale
                if output is None:
                    output = torch.empty(*found.shape[:2], height * scale, width * scale, dtype=found.dtype)
                output[..., top * scale :, left * scale :][..., :rows, :columns] = inner[..., :rows, :columns]
        assert output is not None
        return output


def unknown(layer: nn.Module) -> UserError:
    """The error for a decoder that cannot be run in tiles."""
    return UserError(f"an autoencoder with {type(layer).__name__} cannot decode in tiles: set generator.tile=null")
