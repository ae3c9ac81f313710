"""An image that is decoded in tiles is the one decoded at once."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny

from augment.errors import UserError
from augment.lumen.tiled_decoder import TiledDecoder

# Grey levels: float32 rounds differently where sums are ordered differently.
TOLERANCE = 0.01


def klvae() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 16, 16),
        norm_num_groups=4,
        sample_size=64,
    )


def tiny() -> AutoencoderTiny:
    widths = (8, 8, 8)
    blocks: dict[str, object] = {"num_encoder_blocks": (1, 1, 1), "num_decoder_blocks": (2, 1, 1)}
    return AutoencoderTiny(encoder_block_out_channels=widths, decoder_block_out_channels=widths, **blocks)


@pytest.mark.parametrize("make", [klvae, tiny])
@pytest.mark.parametrize("tile", [32, 40])
@torch.inference_mode()
def test_tiles_give_the_image_decoded_at_once(make: type, tile: int) -> None:
    torch.manual_seed(0)
    vae = make().eval()
    latents = torch.randn(2, 4, 20, 27)
    expected, found = vae.decode(latents).sample, TiledDecoder(vae, tile)(latents)
    assert expected.std() > 0.01
    assert (found - expected).abs().max() * 127.5 < TOLERANCE


@torch.inference_mode()
def test_a_decoder_with_other_layers_is_refused() -> None:
    vae = klvae().eval()
    vae.decoder.up_blocks[0].resnets[0].norm1 = torch.nn.BatchNorm2d(16)
    with pytest.raises(UserError, match=r"BatchNorm2d cannot decode in tiles: set generator\.tile=null"):
        TiledDecoder(vae, 32)(torch.randn(1, 4, 8, 8))
