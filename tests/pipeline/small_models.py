"""A latent diffusion model and an adapter of the real architecture, a few thousand weights each, untrained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessorPil,
    BlipProcessor,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTImageProcessorPil,
)

from augment.layouts.basis import LayoutBasis
from augment.layouts.moments import FeatureMoments
from augment.loading import quiet
from augment.lumen.adapter import LayoutControlNet
from augment.lumen.bases.stable_diffusion import StableDiffusion
from augment.lumen.pretrain.diffusion import new_schedule, new_unet
from augment.lumen.pretrain.text import new_text_encoder, train_tokenizer

SPECIAL_WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]")
CAPTION_WORDS = ("a", "photo", "of", "the", "road", "with", "cars", "and", "trees", "at", "night")
CAPTIONS = ("a rendered street, night, rain", "a photo of a street, day")


def save_small_base(folder: Path, num_components: int = 4, revision: str = "other") -> Path:
    """Write a base model in diffusers layout to `folder`, its adapter in `adapter/`; the same bytes every time.

    `revision` is that of the backbone which the adapter's basis is said to be of.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tokenizer = train_tokenizer(CAPTIONS, 12, folder / "tokenizer")
        base = StableDiffusion(
            "small",
            AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                block_out_channels=(8, 8, 8, 8),
                norm_num_groups=8,
                mid_block_add_attention=False,
            ),
            new_schedule(),
            new_unet((16, 16, 16), 4, 32),
            new_text_encoder(tokenizer, 32, 1),
            tokenizer,
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


def save_small_captioner(folder: Path) -> Path:
    """Write an untrained BLIP with its processor to `folder`; the same bytes every time."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL_WORDS, *CAPTION_WORDS]))
    tokenizer = BertTokenizer(vocab=str(folder / "vocab.txt"), bos_token="[DEC]")
    layers = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    special = {"bos_token_id": 5, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    config = BlipConfig(
        text_config={**layers, **special, "vocab_size": len(tokenizer), "encoder_hidden_size": 32},
        vision_config={**layers, "image_size": 32, "patch_size": 16},
        projection_dim=32,
        image_text_hidden_size=32,
    )
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(0)
        model = BlipForConditionalGeneration(config)
        # An untrained decoder hardly looks at the image; this one must.
        for parameter in model.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
        model.save_pretrained(folder)
        BlipProcessor(BlipImageProcessorPil(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    return folder


def save_small_depth(folder: Path, seed: int = 0) -> Path:
    """Write an untrained Depth Anything with its image processor to `folder`; the same bytes every time."""
    layers = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2}
    backbone = Dinov2Config(
        **layers, image_size=28, patch_size=14, out_indices=[1, 2, 3, 4], reshape_hidden_states=False
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=32,
        neck_hidden_sizes=[8] * 4,
        fusion_hidden_size=8,
        head_hidden_size=8,
    )
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(seed)
        model = DepthAnythingForDepthEstimation(config)
        # An untrained model hardly looks at the image; this one must.
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        # Its last activation makes negative depth 0.
        model.head.conv3.bias.data += 1
        model.save_pretrained(folder)
        size = {"height": 28, "width": 28}
        DPTImageProcessorPil(size=size, keep_aspect_ratio=True, ensure_multiple_of=14).save_pretrained(folder)
    return folder
