"""Small untrained models of the real classes, one of each family, with random values in all weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf

PATCH, GRID, DEPTH = 8, 4, 3
SIZES = {"hidden_size": 32, "num_hidden_layers": DEPTH, "num_attention_heads": 2}
IMAGE = {"image_size": PATCH * GRID, "patch_size": PATCH}
VISION = {**SIZES, **IMAGE, "intermediate_size": 48}
TEXT = {**SIZES, "intermediate_size": 48, "vocab_size": 40, "max_position_embeddings": 8}
SAM = {**SIZES, **IMAGE, "mlp_dim": 48, "output_channels": 24, "window_size": 2, "global_attn_indexes": [1]}
HIERA = {
    **{"model_type": "sam2_hiera_det_model", "hidden_size": 8, "embed_dim_per_stage": [8, 16, 32, 64]},
    **{"num_attention_heads_per_stage": [1, 2, 4, 8], "blocks_per_stage": [1, 2, 3, 1], "global_attention_blocks": [4]},
    **{"window_size_per_stage": [8, 4, 6, 3], "window_positional_embedding_background_size": [3, 3]},
}
SAM2_VISION = {"backbone_config": HIERA, "backbone_channel_list": [64, 32, 16, 8], "fpn_hidden_size": 24}
SAM2 = {
    "vision_config": {"model_type": "sam2_vision_model", **SAM2_VISION},
    "prompt_encoder_config": {"hidden_size": 24},
    "mask_decoder_config": {
        **{"hidden_size": 24, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        **{"iou_head_hidden_dim": 16},
    },
}

MODELS: dict[str, Callable[[], Any]] = {
    "dinov2": lambda: hf.Dinov2Model(hf.Dinov2Config(**SIZES, **IMAGE)),
    "registers": lambda: hf.Dinov2WithRegistersModel(
        hf.Dinov2WithRegistersConfig(**SIZES, **IMAGE, num_register_tokens=2)
    ),
    "dinov3": lambda: hf.DINOv3ViTModel(hf.DINOv3ViTConfig(**VISION, num_register_tokens=2)),
    "convnext": lambda: hf.DINOv3ConvNextModel(
        hf.DINOv3ConvNextConfig(depths=[1, 1, 2, 1], hidden_sizes=[8, 12, 16, 20])
    ),
    "siglip": lambda: hf.SiglipModel(hf.SiglipConfig(text_config=TEXT, vision_config=VISION)),
    "siglip-vision": lambda: hf.SiglipVisionModel(hf.SiglipVisionConfig(**VISION)),
    "siglip2": lambda: hf.Siglip2Model(
        hf.Siglip2Config(text_config=TEXT, vision_config={**SIZES, "patch_size": PATCH, "num_patches": GRID**2})
    ),
    "siglip2-vision": lambda: hf.Siglip2VisionModel(
        hf.Siglip2VisionConfig(**SIZES, intermediate_size=48, patch_size=PATCH, num_patches=GRID**2)
    ),
    "clip": lambda: hf.CLIPModel(hf.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=16)),
    "clip-vision": lambda: hf.CLIPVisionModel(hf.CLIPVisionConfig(**VISION)),
    "clip-projection": lambda: hf.CLIPVisionModelWithProjection(hf.CLIPVisionConfig(**VISION, projection_dim=16)),
    "radio": lambda: hf.RadioModel(
        hf.RadioConfig(**SIZES, **IMAGE, max_img_size=PATCH * GRID * 2, num_cls_tokens=2, num_registers=1)
    ),
    "tips": lambda: hf.Tipsv2Model(
        hf.Tipsv2Config(text_config=TEXT, vision_config={**SIZES, **IMAGE, "num_register_tokens": 1})
    ),
    "tips-vision": lambda: hf.Tipsv2VisionModel(hf.Tipsv2VisionConfig(**SIZES, **IMAGE)),
    "mae": lambda: hf.ViTMAEModel(hf.ViTMAEConfig(**VISION)),
    "mae-pretraining": lambda: hf.ViTMAEForPreTraining(
        hf.ViTMAEConfig(**VISION, decoder_hidden_size=16, decoder_num_attention_heads=2, decoder_num_hidden_layers=1)
    ),
    "sam": lambda: hf.SamModel(hf.SamConfig(vision_config=SAM)),
    "sam-vision": lambda: hf.SamVisionModel(hf.SamVisionConfig(**SAM)),
    "sam2": lambda: hf.Sam2Model(hf.Sam2Config(**SAM2)),
    "sam2-video": lambda: hf.Sam2VideoModel(hf.Sam2VideoConfig(**SAM2, image_size=64)),
    "sam2-vision": lambda: hf.Sam2VisionModel(hf.Sam2VisionConfig(**SAM2_VISION)),
}


def random_model(name: str) -> Any:
    """A model of the family with random weights, those of normalisations and position embeddings too."""
    with torch.random.fork_rng():
        torch.manual_seed(len(name))
        model = MODELS[name]().eval()
        for parameter in model.parameters():
            parameter.data.normal_(std=0.3)
    return model


def save_random_model(name: str, folder: Path) -> Any:
    """Write such a model to a folder; returns it."""
    model = random_model(name)
    model.save_pretrained(folder)
    return model
