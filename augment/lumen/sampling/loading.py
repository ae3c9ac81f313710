"""Load base model and adapter for sampling: their precision, and what makes them faster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from augment.errors import UserError
from augment.loading import quiet
from augment.lumen.adapter import load_adapter
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.precision import DTYPES
from augment.lumen.sampling.layout_sampler import LayoutSampler
from augment.lumen.sampling.lora import fuse_loras

if TYPE_CHECKING:
    from pathlib import Path

    from augment.lumen.sampling.options import SamplerOptions

# Classes of the blocks of which a network has many; those of transformers are named by the network.
REPEATED = ("ResnetBlock2D", "BasicTransformerBlock", "JointTransformerBlock", "SD3SingleTransformerBlock")
# Each kind of block is compiled for each size and batch that it sees; past this number, torch stops compiling.
KINDS = 256


def load_sampler(
    base: str, adapter: Path, options: SamplerOptions, device: str = "cpu", revision: str | None = None
) -> LayoutSampler:
    """Load the models in the precision of the options, with their LoRAs, ready to sample.

    Args:
        base: a model of the zoo, a local folder in diffusers layout, or a hub id.
        adapter: folder of the adapter.
        options: of the sampler.
        device: torch device.
        revision: commit of a hub id; None takes its newest.

    Raises:
        UserError: a part cannot be loaded, or the scheduler does not exist for the base.
    """
    dtype = DTYPES[options.precision]
    # What a LoRA adds is lost in the rounding of half precision, unless it is added before.
    model = load_diffusion_model(base, device, torch.float32 if options.lora else dtype, revision=revision)
    reader = load_adapter(adapter, device, dtype)
    if options.lora:
        fuse_loras(model, reader, options.lora)
    # In float16 the activations of many autoencoders overflow.
    upcast = dtype == torch.float16 and model.vae.config.force_upcast
    with quiet():
        for part in model.parts.values():
            part.to(torch.float32 if part is model.vae and upcast else dtype)
        model.vae.to(memory_format=torch.channels_last)
    for network in (model.network, reader.controlnet):
        if torch.device(device).type == "cuda":
            use_fast_kernels(network)
        if options.compile is not None:
            compile_network(network, options.compile)
    return LayoutSampler(model, reader, options)


def use_fast_kernels(network: Any) -> None:
    """Keep convolutions channels-last and multiply queries, keys and values at once: faster on GPUs, not on CPUs."""
    from diffusers import UNet2DConditionModel

    network.to(memory_format=torch.channels_last)
    # The fused attention of transformers leaves out their normalisation of queries and keys.
    if isinstance(network, UNet2DConditionModel):
        network.fuse_qkv_projections()


def compile_network(network: Any, mode: str) -> None:
    """Compile a network with torch.compile at its first use, which takes minutes.

    torch keeps what it compiled in `$TORCHINDUCTOR_CACHE_DIR`, so that the next start takes seconds.

    Args:
        network: of diffusers.
        mode: of torch.compile. `reduce-overhead` records CUDA graphs, and compiles the network as a whole for that.

    Raises:
        UserError: the network has no block of a known kind.
    """
    if mode == "reduce-overhead":
        network.compile(mode=mode)
        return
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, KINDS)
    kinds = {*REPEATED, *(getattr(network, "_repeated_blocks", None) or ())}
    blocks = [module for module in network.modules() if type(module).__name__ in kinds]
    if not blocks:
        raise UserError(
            f"generator.compile={mode}: {type(network).__name__} has none of the blocks {', '.join(sorted(kinds))}: "
            "set compile=null"
        )
    for block in blocks:
        block.compile(mode=mode, dynamic=False)
