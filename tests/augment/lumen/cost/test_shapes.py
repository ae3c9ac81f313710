"""Memory and operations on shapes alone, against the same step with values, and of Stable Diffusion 1.5."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch.nn.attention import SDPBackend, sdpa_kernel

from augment.lumen.adapter import LayoutControlNet, load_adapter
from augment.lumen.bases.base import DiffusionModel
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.bases.stable_diffusion import StableDiffusion
from augment.lumen.bases.text import Text
from augment.lumen.cost.cost import Models
from augment.lumen.cost.devices import CARDS, GIB, Device, known_peak
from augment.lumen.cost.meter import Meter
from augment.lumen.cost.shapes import Shapes
from augment.lumen.cost.training import largest_micro_batch, training_cost
from augment.lumen.options import AdaptOptions
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.zoo import ZOO
from tests.augment.lumen.bases.small_families import FAMILIES, save_family

TINY = Models("lumen-tiny", ZOO / "lumen-tiny" / "adapter", 20)


class SD15(StableDiffusion):
    """Stable Diffusion 1.5 without a text encoder."""

    def embed(self, prompts: Sequence[str], height: int, width: int) -> Text:  # noqa: ARG002 - see `DiffusionModel`
        return Text(torch.empty(len(prompts), 77, 768, device="meta"))


@pytest.fixture(scope="module")
def sd15() -> Shapes:
    """As it is trained on a GPU, at 512x1024."""
    widths = (128, 256, 512, 512)
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    with torch.device("meta"):
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768).requires_grad_(False)
        vae = AutoencoderKL(block_out_channels=widths, layers_per_block=2, **blocks).requires_grad_(False)
        adapter = LayoutControlNet.from_base(unet, 20)
        base = SD15("sd15", vae, {}, unet.to(torch.bfloat16), torch.nn.Identity(), None)
    return Shapes(base, adapter, 512, 1024, torch.bfloat16)


def real_step(count: int, checkpointing: bool) -> Meter:
    """A step of lumen-tiny on the CPU, with values."""
    base: DiffusionModel = load_diffusion_model("lumen-tiny")
    assert TINY.adapter is not None
    adapter = load_adapter(TINY.adapter).train().requires_grad_(True)
    for network in (adapter.controlnet, base.network) if checkpointing else ():
        network.enable_gradient_checkpointing()
    weights = [weight for part in base.parts.values() for weight in part.parameters()]
    with Meter([*weights, *adapter.parameters()]) as meter:
        with torch.no_grad():
            text = base.embed(["street"] * count, 96, 192)
        latents = torch.randn(count, base.latent_channels, 96 // base.stride, 192 // base.stride)
        layout, numbers = torch.randn(count, 20, 12, 24), torch.full((count,), 5)
        output = base.denoise(latents, numbers, text, adapter(latents, numbers, text, layout, numbers))
        F.mse_loss(output, torch.randn_like(latents)).backward()
    return meter


@pytest.mark.parametrize("checkpointing", [False, True])
def test_shapes_take_what_values_take(checkpointing: bool) -> None:
    shapes = Shapes.to_train(TINY, 96, 192, "cpu", "fp32")
    found = shapes.training(2, gradient_checkpointing=checkpointing)
    assert found.working == pytest.approx(real_step(2, checkpointing).peak, rel=0.02)
    with sdpa_kernel(SDPBackend.MATH):
        # torch does not count the operations of the kernel of CPUs for attention. That of GPUs repeats a product.
        assert found.flops == pytest.approx(real_step(2, checkpointing).flops, rel=0.01)


def test_storages_count_once_and_until_they_are_freed() -> None:
    with Meter() as meter:
        first = torch.empty(1000, dtype=torch.uint8)
        view = first[:500].view(5, 100)
        del first
        second = torch.empty(300, dtype=torch.uint8)
        del view, second
        _ = torch.empty(1200, dtype=torch.uint8)
    assert meter.peak == 1300


def test_stable_diffusion_fits_a_small_card_in_parts(sd15: Shapes) -> None:
    """Batch 8 at 512x1024 takes more than 24 GB at once, and fits in parts."""
    card = Device("card", True, round(CARDS[24] * GIB), 1e15)
    whole = sd15.training(8)
    assert not card.fits(whole.memory)
    assert card.cards(whole.memory)[0] == 48
    options = AdaptOptions(batch_size=8)
    size = largest_micro_batch(sd15, options, card)
    assert 2 <= size < 8
    assert card.fits(training_cost(sd15, options.model_copy(update={"micro_batch": size})).memory)


def test_no_micro_batch_is_advised_that_sample_grids_leave_no_room_for() -> None:
    shapes, options = Shapes.to_train(TINY, 96, 192, "cpu", "fp32"), AdaptOptions(batch_size=4)
    parted = options.model_copy(update={"micro_batch": 1})
    step, all_of_it = shapes.training(4, 1).memory, training_cost(shapes, parted).memory
    assert step < all_of_it
    assert largest_micro_batch(shapes, options, Device("cpu", False, step, 1)) == 0
    assert largest_micro_batch(shapes, options, Device("cpu", False, all_of_it, 1)) >= 1


def test_memory_of_an_unknown_card_is_at_most_that_of_the_largest() -> None:
    unknown, largest = Device("card", True, None, 1e15), max(CARDS.values()) * GIB
    assert unknown.fits(round(largest / 2)) and not unknown.fits(round(largest))


def test_workers_share_the_batch() -> None:
    shapes = Shapes.to_train(TINY, 96, 192, "cuda", "bf16")
    alone, shared = shapes.training(4), shapes.training(16, workers=4)
    assert shared.flops == 4 * alone.flops
    assert shared.memory == pytest.approx(alone.memory, rel=0.5)
    assert shapes.training(4, optimizer="adamw8bit").state < alone.state


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_family_is_estimated_without_weights(kind: str, tmp_path: Path) -> None:
    folder = save_family(kind, tmp_path)
    for weights in folder.rglob("*.safetensors"):
        weights.unlink()
    models = Models(str(folder), None, 6)
    trained = Shapes.to_train(models, 32, 64, "cuda", "bf16")
    one, two = (trained.training(count, gradient_checkpointing=True) for count in (1, 2))
    assert (one.state, 2 * one.flops) == (two.state, two.flops)
    assert one.working < two.working
    painted = Shapes.to_paint(models, 32, 64, "bf16")
    guided, free = (painted.painting(2, SamplerOptions(guidance_scale=scale)) for scale in (2, 1))
    assert guided.flops > free.flops
    assert guided.memory >= free.memory


def test_gpus_are_known_by_whole_words() -> None:
    names = ("NVIDIA A100-SXM4-80GB", "NVIDIA A10", "NVIDIA L40S", "NVIDIA H100 PCIe", "NVIDIA GeForce RTX 4090")
    assert [known_peak(name) for name in names] == [312e12, 125e12, 362e12, 756e12, 165e12]
    assert known_peak("NVIDIA T1000") is None
