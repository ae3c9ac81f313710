"""A latent diffusion model and an adapter of the real architecture, a few thousand weights each, untrained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from augment.layout import FeatureMoments, LayoutBasis
from augment.lumen.adapter import LayoutControlNet
from augment.lumen.base import BaseModel
from augment.lumen.pretrain.diffusion import new_schedule, new_unet
from augment.lumen.pretrain.text import new_text_encoder, train_tokenizer

CAPTIONS = ("a rendered street, night, rain", "a photo of a street, day")


def save_small_base(folder: Path, num_components: int = 4, revision: str = "other") -> Path:
    """Write a base model in diffusers layout to `folder`, its adapter in `adapter/`; the same bytes every time.

    `revision` is that of the backbone which the adapter's basis is said to be of.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tokenizer = train_tokenizer(CAPTIONS, 12, folder / "tokenizer")
        base = BaseModel(
            "small",
            AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                block_out_channels=(8, 8, 8, 8),
                norm_num_groups=8,
                mid_block_add_attention=False,
            ),
            new_unet((16, 16, 16), 4, 32),
            new_text_encoder(tokenizer, 32, 1),
            tokenizer,
            new_schedule(),
        )
        base.save(folder, torch.float32)
        adapter = LayoutControlNet.from_base(base.unet, num_components, 8)
        # An untrained adapter is silent; this one must be heard.
        for parameter in adapter.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    adapter.save_pretrained(folder / "adapter")
    basis = LayoutBasis.fit(
        FeatureMoments.of(np.random.default_rng(0).normal(size=(1000, 384))), num_components, "dinov2-vits14", revision
    )
    basis.save(folder / "adapter" / "basis")
    return folder
