"""Image encoders that transformers loads, each behind the class for its kind."""

from __future__ import annotations

from typing import Any

from augment.backbones.convolutional import ConvolutionalBackbone
from augment.backbones.encoder import Encoder
from augment.backbones.families import read_config
from augment.backbones.options import FeatureOptions
from augment.backbones.sam import SamBackbone
from augment.backbones.sam2 import Sam2Backbone
from augment.backbones.transformer import TransformerBackbone
from augment.errors import UserError

CLASSES: dict[str, type[Encoder]] = {
    "tokens": TransformerBackbone,
    "maps": ConvolutionalBackbone,
    "windows": SamBackbone,
    "pyramid": Sam2Backbone,
}


def load_encoder(name: str, source: str, device: str, settings: FeatureOptions) -> Encoder:
    """Load the image encoder of a hub id or local folder.

    Args:
        name: what it is loaded as, with its settings; a layout basis records it.
        source: the hub id or folder.
        device: torch device that it runs on.
        settings: which of its features are taken.

    Raises:
        UserError: it cannot be loaded, is of no known family, lacks weights, or does not have these features.
    """
    from transformers import PretrainedConfig

    try:
        content: dict[str, Any] = PretrainedConfig.get_config_dict(source)[0]
        family, config = read_config(content)
        return CLASSES[family.kind](name, source, family, config, device, settings)
    except (OSError, ValueError) as error:
        raise UserError(
            f"transformers cannot load {source!r} ({str(error).splitlines()[0]}): give a hub id or a folder with "
            "config.json and weights"
        ) from error
