"""The blocks of a diffusion model's U-Net that features are taken of, by its configuration alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from augment.backbones.options import FeatureOptions
from augment.errors import UserError
from augment.loading import model_file
from augment.lumen import zoo

# Those that Tang et al., *Emergent Correspondence from Image Diffusion*, 2023, take of Stable Diffusion 2.1.
BLOCK, TIMESTEP = 1, 261


def is_diffusion_model(name: str) -> bool:
    """Whether a name is a model of the zoo, or a folder or hub id in diffusers layout."""
    if name in zoo.names():
        return True
    folder = Path(name)
    if folder.is_dir():
        return (folder / "model_index.json").is_file() and not (folder / "config.json").is_file()
    try:
        return model_file(name, "config.json") is None and model_file(name, "model_index.json") is not None
    except OSError:
        # Neither cached nor reachable, which loading it reports.
        return False


def block_of(unet: Mapping[str, Any], settings: FeatureOptions) -> int:
    """The up block whose output is taken, by the configuration of the U-Net.

    Raises:
        UserError: it has none of this number, or the settings are those of another kind of model.
    """
    for name in ("layer", "facet"):
        if name in settings.changed:
            raise UserError(f"it is a diffusion model, which has no {name} to take: give a block and a timestep")
    count = len(unet["block_out_channels"])
    block = min(BLOCK, count - 1) if settings.block is None else settings.block
    if block >= count:
        raise UserError(f"its U-Net has no up block {block}: give one of 0..{count - 1}")
    return block


def timestep_of(schedule: Mapping[str, Any], settings: FeatureOptions) -> int:
    """The timestep of the noise, by the configuration of the noise schedule.

    Raises:
        UserError: the schedule is shorter.
    """
    count = int(schedule.get("num_train_timesteps", 1000))
    timestep = min(TIMESTEP, count - 1) if settings.timestep is None else settings.timestep
    if timestep >= count:
        raise UserError(f"its noise schedule has no timestep {timestep}: give one of 0..{count - 1}")
    return timestep


def channels_of_block(unet: Mapping[str, Any], block: int) -> int:
    """Channels that an up block gives, by the configuration of the U-Net."""
    return int(unet["block_out_channels"][-1 - block])


def level_of(unet: Mapping[str, Any], block: int) -> int:
    """How often an up block's output would have to be doubled in size to cover one cell of the latent each."""
    # Each block but the last doubles the size that it is given.
    return max(0, len(unet["block_out_channels"]) - 2 - block)
