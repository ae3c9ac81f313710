"""A small base model from scratch: autoencoder, tokenizer, text encoder, U-Net and layout adapter."""

from __future__ import annotations

from augment.lumen.pretrain.images import CaptionedImage, ImageSource
from augment.lumen.pretrain.recipe import pretrain

__all__ = ["CaptionedImage", "ImageSource", "pretrain"]
