"""Begin an adapter with the weights of a ControlNet of diffusers, which reads edges, labels or the like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers import ControlNetModel, SD3ControlNetModel

from augment.errors import UserError
from augment.loading import load_whole, quiet
from augment.lumen.adapter import LayoutControlNet
from augment.lumen.bases.families import POOLS
from augment.lumen.sd3_adapter import LayoutSD3ControlNet

if TYPE_CHECKING:
    from augment.lumen.adapter import Adapter

# Class of a ControlNet -> itself, and that of the adapter that begins as one.
KINDS: dict[str, tuple[Any, Any]] = {
    "ControlNetModel": (ControlNetModel, LayoutControlNet),
    "SD3ControlNetModel": (SD3ControlNetModel, LayoutSD3ControlNet),
}


def adapter_from_controlnet(
    source: str, num_components: int, hidden_channels: int = 128, revision: str | None = None
) -> Adapter:
    """An adapter with the weights of a ControlNet, and a new `LayoutEncoder` in place of its encoder of conditions.

    The zero convolutions keep what they have learnt. The layout encoder gives zeros at first, so the first prediction
    is that of the ControlNet whose embedded condition is zero, and not that of the base alone.

    Args:
        source: hub id, or local folder.
        num_components: components of a layout that it reads.
        hidden_channels: width of its layout encoder.
        revision: commit of a hub id; None is the newest.

    Raises:
        UserError: it cannot be loaded, is no ControlNet of these kinds, pools its conditions over the image, or its
            weights are not those of its configuration.
    """
    try:
        config = ControlNetModel.load_config(source, revision=revision)
        kind = str(config.get("_class_name"))
        if kind not in KINDS:
            raise UserError(f"{source} is a {kind}: give a {' or '.join(KINDS)}")
        if config.get("global_pool_conditions"):
            raise UserError(f"{source}: {POOLS}")
        controlnet, adapter = KINDS[kind]
        with quiet():
            found: Adapter = adapter.from_controlnet(
                load_whole(controlnet, source, exact=True, revision=revision), num_components, hidden_channels
            )
    except torch.OutOfMemoryError:
        raise
    # Weights of other shapes than the configuration, and keys that the class does not know.
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise UserError(
            f"ControlNet {source!r} cannot be loaded ({str(error).splitlines()[0]}): give a folder in diffusers layout "
            "or a hub id"
        ) from error
    return found
