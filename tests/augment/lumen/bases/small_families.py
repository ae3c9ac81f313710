"""Untrained base models of each family, a few thousand weights each, in diffusers layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from augment.loading import quiet
from augment.lumen.pretrain.text import train_tokenizer
from tests.pipeline.small_models import CAPTIONS, save_small_base

PIECES = ["<pad>", "</s>", "<unk>", "▁a", "▁photo", "▁street", *"▁abcdefghijklmnopqrstuvwxyz,"]
FAMILIES = ("stable-diffusion", "sdxl", "sd3", "sd3-without-t5")
WIDTH, POOLED = 32, 24


def save_family(kind: str, folder: Path) -> Path:
    """Write a small base model of a family to `folder`."""
    if kind == "stable-diffusion":
        return save_small_base(folder)
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(0)
        pipeline = _sdxl(folder) if kind == "sdxl" else _sd3(folder, has_t5=kind == "sd3")
        pipeline.save_pretrained(folder)
    return folder


def _sdxl(folder: Path) -> DiffusionPipeline:
    tokenizer = train_tokenizer(CAPTIONS, 12, folder / "tokenizer")
    unet = UNet2DConditionModel(
        sample_size=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        cross_attention_dim=2 * WIDTH,
        transformer_layers_per_block=(1, 2),
        attention_head_dim=8,
        norm_num_groups=8,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=POOLED + 6 * 8,
    )
    return StableDiffusionXLPipeline(
        vae=_vae(4),
        text_encoder=CLIPTextModel(_clip(tokenizer)),
        text_encoder_2=CLIPTextModelWithProjection(_clip(tokenizer)),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
        add_watermarker=False,
    )


def _sd3(folder: Path, *, has_t5: bool) -> DiffusionPipeline:
    tokenizer = train_tokenizer(CAPTIONS, 12, folder / "tokenizer")
    wide = 2 * WIDTH + 8
    transformer = SD3Transformer2DModel(
        sample_size=16,
        in_channels=16,
        num_layers=4,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=wide,
        caption_projection_dim=32,
        pooled_projection_dim=2 * POOLED,
        pos_embed_max_size=24,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )
    t5 = T5Config(vocab_size=len(PIECES), d_model=wide, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    pieces = [(piece, 0.0 if index < 3 else -float(index)) for index, piece in enumerate(PIECES)]
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(16),
        text_encoder=CLIPTextModelWithProjection(_clip(tokenizer)),
        tokenizer=tokenizer,
        text_encoder_2=CLIPTextModelWithProjection(_clip(tokenizer)),
        tokenizer_2=tokenizer,
        text_encoder_3=T5EncoderModel(t5) if has_t5 else None,
        tokenizer_3=T5Tokenizer(pieces, extra_ids=0) if has_t5 else None,
    )


def _vae(latent_channels: int) -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=8,
        latent_channels=latent_channels,
        mid_block_add_attention=False,
        scaling_factor=1.5,
        shift_factor=0.06 if latent_channels == 16 else None,
        use_quant_conv=latent_channels == 4,
        use_post_quant_conv=latent_channels == 4,
    )


def _clip(tokenizer: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=12,
        projection_dim=POOLED,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
