"""Segmentation models of mmsegmentation, by name or from its config files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmseg.registry import MODELS
from safetensors.torch import load_file
from torch import nn

from augment.errors import UserError
from downstream.mmseg_import import mmseg_scope
from downstream.segmenter_files import SEGFORMER, config_file

# Channel statistics of ImageNet in RGB order, which every public backbone expects.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
IGNORE_INDEX = 255
# The only key of the object that encodes a tuple in JSON.
_TUPLE = "tuple"


def segmenter_config(
    model: str,
    num_classes: int,
    crop: tuple[int, int],
    decoder_channels: int | None = None,
    ignore_index: int = IGNORE_INDEX,
) -> dict[str, Any]:
    """Config of a segmenter with random weights, ready for `build_segmenter`.

    Args:
        model: ``segformer_mit-b0`` .. ``-b5``, the name of any config of mmsegmentation, or the path of one.
        num_classes: classes to predict.
        crop: height and width that training images are padded to.
        decoder_channels: width of the decode head; None keeps the model's own. SegFormer's 256 take most of the
            time with its smallest backbone.
        ignore_index: id of the pixels that are not learned.

    Raises:
        UserError: the model is unknown.
    """
    if model in SEGFORMER:
        config = _segformer(*SEGFORMER[model])
    else:
        config = Config.fromfile(config_file(model)).to_dict()["model"]
    config = _without_remote_weights(_with_local_norm(config))
    for head in _heads(config):
        before = head.get("num_classes")
        # A head of several heads, such as K-Net's, has no classes of its own.
        for inner in [*_holding(head, "num_classes")] or [head]:
            inner["num_classes"] = num_classes
        if "num_classes" in head:
            # mmsegmentation lets a head of two classes predict one channel; here every class has its own channel.
            head["out_channels"] = num_classes
        for loss in _holding(head, "class_weight"):
            _fit_class_weight(loss, before, num_classes)
        # Not every head takes it, and 255 is the default of all heads.
        if ignore_index != IGNORE_INDEX:
            head["ignore_index"] = ignore_index
    if decoder_channels is not None:
        # In a cascade, the last head decides.
        last = config["decode_head"]
        (last[-1] if isinstance(last, list | tuple) else last)["channels"] = decoder_channels
    config["data_preprocessor"] = {
        "type": "SegDataPreProcessor",
        "mean": list(PIXEL_MEAN),
        "std": list(PIXEL_STD),
        "bgr_to_rgb": True,
        "size": list(crop),
        "pad_val": 0,
        "seg_pad_val": ignore_index,
    }
    return config


def config_to_json(value: Any) -> Any:
    """Encode a config as JSON, tuples too, because some models accept nothing else."""
    if isinstance(value, Mapping):
        return {key: config_to_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        items = [config_to_json(inner) for inner in value]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    return value


def config_from_json(value: Any) -> Any:
    """Inverse of `config_to_json`."""
    if isinstance(value, dict):
        if set(value) == {_TUPLE}:
            return tuple(config_from_json(inner) for inner in value[_TUPLE])
        return {key: config_from_json(inner) for key, inner in value.items()}
    return [config_from_json(inner) for inner in value] if isinstance(value, list) else value


def build_segmenter(config: Mapping[str, Any]) -> nn.Module:
    """Build the model of a config on the CPU; ``init_weights`` sets its random weights."""
    with mmseg_scope(), warnings.catch_warnings():
        # mmsegmentation warns of its own deprecated builders.
        warnings.simplefilter("ignore")
        model: nn.Module = MODELS.build(ConfigDict(config))
    return model


def load_pretrained(model: nn.Module, path: Path) -> list[str]:
    """Load weights of a whole segmenter or of its backbone; layers of other sizes stay random.

    Args:
        model: the segmenter.
        path: ``.safetensors``, or ``.pth`` as mmsegmentation publishes them (tensors only; nothing is
            executed).

    Returns:
        The parameters that the file did not set.

    Raises:
        UserError: the file is missing, holds anything but tensors, or sets none of the backbone's parameters.
    """
    if not path.is_file():
        raise UserError(f"no pretrained weights at {path}")
    if path.suffix == ".safetensors":
        weights = load_file(path)
    else:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except UnpicklingError as error:
            raise UserError(f"{path} holds more than tensors and is not read: save its state_dict alone") from error
        weights = content.get("state_dict", content)
    if not any(name.startswith("backbone.") for name in weights):
        weights = {f"backbone.{name}": tensor for name, tensor in weights.items()}
    own = model.state_dict()
    fitting = {name: tensor for name, tensor in weights.items() if name in own and own[name].shape == tensor.shape}
    if not any(name.startswith("backbone.") for name in fitting):
        raise UserError(f"{path} holds no weights for the backbone {type(model.backbone).__name__}")
    model.load_state_dict(fitting, strict=False)
    return sorted(set(own) - set(fitting))


def _segformer(width: int, layers: list[int]) -> dict[str, Any]:
    return {
        "type": "EncoderDecoder",
        "backbone": {
            "type": "MixVisionTransformer",
            "in_channels": 3,
            "embed_dims": 32 * width,
            "num_stages": 4,
            "num_layers": layers,
            "num_heads": [1, 2, 5, 8],
            "patch_sizes": [7, 3, 3, 3],
            "sr_ratios": [8, 4, 2, 1],
            "out_indices": [0, 1, 2, 3],
            "mlp_ratio": 4,
            "qkv_bias": True,
            "drop_path_rate": 0.1,
        },
        "decode_head": {
            "type": "SegformerHead",
            "in_channels": [width * channels for channels in (32, 64, 160, 256)],
            "in_index": [0, 1, 2, 3],
            "channels": 256,
            "dropout_ratio": 0.1,
            "norm_cfg": {"type": "BN", "requires_grad": True},
            "align_corners": False,
            "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
        },
        "train_cfg": {},
        "test_cfg": {"mode": "whole"},
    }


def _heads(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    heads: list[dict[str, Any]] = []
    for key in ("decode_head", "auxiliary_head"):
        value = config.get(key) or []
        heads += value if isinstance(value, list | tuple) else [value]
    return heads


def _holding(value: Any, key: str) -> Iterator[dict[str, Any]]:
    """Every dict with this key in a nested config."""
    if isinstance(value, dict):
        if key in value:
            yield value
        for inner in value.values():
            yield from _holding(inner, key)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _holding(inner, key)


def _fit_class_weight(loss: dict[str, Any], before: int | None, num_classes: int) -> None:
    """Bring the weights of the classes that a config was written for to other classes."""
    weights = loss["class_weight"]
    if not isinstance(weights, list | tuple) or len(weights) == num_classes:
        return
    if before is not None and len(weights) == before + 1 and len(set(weights[:before])) == 1:
        # Mask2Former and MaskFormer: all classes weigh the same, and a query without an object less.
        loss["class_weight"] = [weights[0]] * num_classes + [weights[-1]]
    else:
        del loss["class_weight"]


def _with_local_norm(value: Any) -> Any:
    """Replace synchronized batch normalization: each run is one process."""
    if isinstance(value, dict):
        swapped = {key: _with_local_norm(inner) for key, inner in value.items()}
        if swapped.get("type") in ("SyncBN", "MMSyncBN"):
            swapped["type"] = "BN"
        return swapped
    if isinstance(value, list | tuple):
        return type(value)(_with_local_norm(inner) for inner in value)
    return value


def _without_remote_weights(value: Any) -> Any:
    """Drop weights that a config would download: they come from `pretrained` or from the seed."""
    if isinstance(value, dict):
        return {
            key: _without_remote_weights(inner)
            for key, inner in value.items()
            if key != "pretrained" and not (key == "init_cfg" and _loads_weights(inner))
        }
    if isinstance(value, list | tuple):
        return type(value)(_without_remote_weights(inner) for inner in value)
    return value


def _loads_weights(init_cfg: Any) -> bool:
    return isinstance(init_cfg, dict) and init_cfg.get("type") == "Pretrained"
