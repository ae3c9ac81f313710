"""The diffusion model that paints on layouts, and the adapter to start from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from augment.conditioning import LAYOUT, TITLES
from augment.conditioning.record import saved_conditioning
from augment.errors import UserError
from augment.lumen import zoo
from augment.lumen.sampling.lora import lora_file, require_loras
from augment.lumen.sampling.options import BASE_SPACING, SamplerOptions, require_scheduler
from augment.options import ModelName, Options
from augment.stride import STRIDE
from pipeline.checks.hub import require_reachable
from pipeline.checks.model_config import read_model_config
from pipeline.checks.models import BASE, BASE_REMEDY, require_base
from pipeline.store import JSON
from pipeline.workspace.mismatch import content_of
from pipeline.workspace.model_files import (
    adapter_components,
    adapter_folder,
    basis_digest,
    identity,
    model_folder,
    require_fit,
    require_same_shape,
)

if TYPE_CHECKING:
    from pipeline.config import Config

# Folder of an adapter with the basis that it was trained with.
BASIS = "basis"
BASE_NAMES = {
    "base": BASE,
    "base.name": BASE,
    "base.digest": content_of("the files of generator.base"),
    "base.revision": "the revision of generator.base",
}


class _ModelOptions(Options):
    """The diffusion model."""

    base: ModelName = Field(description="'lumen-tiny', or a hub id or folder that diffusers loads")
    adapter: ModelName | None = Field(
        default=None, description="'lumen-tiny' or a folder to start from; null starts a new one"
    )


class GeneratorOptions(SamplerOptions, _ModelOptions):
    """The diffusion model and how it is sampled."""

    max_loss: float | None = Field(
        default=None,
        gt=0,
        le=255,
        description="grey levels (0..255) by which images may differ on average from those of the other options: a "
        "calibration of about a minute on layouts of the run chooses steps, reuse, the end of guidance, the batch "
        "size, and on GPUs compile; null samples exactly",
    )

    @model_validator(mode="after")
    def _calibration_compiles(self) -> GeneratorOptions:
        if self.max_loss is not None and self.compile is not None:
            raise ValueError(f"max_loss chooses compile by itself: set compile=null, not {self.compile}")
        return self


def sampler_inputs(options: GeneratorOptions) -> dict[str, JSON]:
    """What the images depend on of how they are sampled; nothing that changed no image of earlier versions."""
    inputs: dict[str, JSON] = dict(options.semantic)
    if options.timestep_spacing in (BASE_SPACING, configured_spacing(options.base)):
        inputs.pop("timestep_spacing", None)
    if options.lora:
        inputs["lora"] = [identity(lora_file(name)) for name in options.lora]
    return inputs


def configured_spacing(base: str) -> str | None:
    """The spacing of timesteps that a shipped or local base is configured for; one on a hub is not looked up."""
    path = model_folder(base) / "scheduler" / "scheduler_config.json"
    # The default of DDIM, which sampled before other schedulers were there.
    return str(json.loads(path.read_text()).get("timestep_spacing", "leading")) if path.is_file() else None


def start_adapter(config: Config) -> Path | None:
    """Folder of the adapter to start from, if there is one; checked against what the layouts will be.

    Raises:
        UserError: it is missing, reads another conditioning or another number of components than k_max, or belongs to
            another base model.
    """
    if config.generator.adapter is None:
        return None
    folder = adapter_folder(config.generator.adapter)
    components, k_max = adapter_components(folder), config.layout.k_max
    if (kind := saved_conditioning(folder)["kind"]) != config.conditioning:
        more = ", layout.basis=own" if config.conditioning == LAYOUT else ", generate.ks=all"
        raise UserError(
            f"generator.adapter={config.generator.adapter} reads {TITLES[kind]}, not {TITLES[config.conditioning]}: "
            f"take conditioning={kind}, or train a new one with generator.adapter=null and adapt.steps=N{more}"
        )
    if kind == LAYOUT and components != k_max:
        raise UserError(
            f"layout.k_max={k_max}: the adapter in {folder} reads {components} components; "
            f"set layout.k_max={components}, or train a new one with generator.adapter=null"
        )
    require_fit(folder, config.generator.base)
    return folder


def adapter_basis(config: Config) -> Path | None:
    """Folder of the starting adapter's own basis, if layouts are to be written in it."""
    folder = start_adapter(config)
    own = config.conditioning == LAYOUT and config.layout.basis == "adapter"
    return folder / BASIS if folder and own else None


def adapter_basis_digest(config: Config) -> str | None:
    """Digest of that basis."""
    folder = adapter_basis(config)
    return basis_digest(folder) if folder else None


def require_base_exists(config: Config) -> None:
    """Check that the base model is in a folder, in the hub's cache or on the hub.

    Raises:
        UserError: it is not.
    """
    require_reachable(BASE, config.generator.base, "model_index.json", zoo.names())


def require_generator(config: Config, revision: str | None) -> None:
    """Check that the base model, which exists, can be used, and fits the adapter to start from.

    Args:
        config: of the run.
        revision: commit of a base on the hub, see `base_revision`.

    Raises:
        UserError: it does not.
    """
    base = config.generator.base
    require_loras(config.generator.lora)
    network = require_base(base, revision=revision)
    multiple = STRIDE * int(network.get("patch_size", 1))
    for side in ("height", "width"):
        if (size := getattr(config.geometry, side)) % multiple:
            raise UserError(f"geometry.{side}={size}: {BASE}={base} paints in patches: give a multiple of {multiple}")
    if config.generator.reuse_blocks > 1 and len(network.get("block_out_channels", ())) <= 1:
        raise UserError(
            f"generator.reuse_blocks={config.generator.reuse_blocks}: {BASE}={base} has no U-Net with deep blocks: set "
            "reuse_blocks=1; reuse_adapter is for every base"
        )
    schedule = read_model_config(BASE, base, "scheduler/scheduler_config.json", BASE_REMEDY, revision)
    require_scheduler(schedule, config.generator)
    if adapter := start_adapter(config):
        require_same_shape(adapter, base, network)
