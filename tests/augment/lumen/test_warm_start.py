"""An adapter begins as a ControlNet of diffusers that sees no condition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel, SD3ControlNetModel
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from augment.errors import UserError
from augment.lumen.adapter import load_adapter
from augment.lumen.bases.base import DiffusionModel
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.bases.stable_diffusion_3 import StableDiffusion3
from augment.lumen.bases.unet import UNetModel
from augment.lumen.warm_start import adapter_from_controlnet
from tests.augment.lumen.bases.small_families import save_family

K = 4
WEIGHTS = "diffusion_pytorch_model.safetensors"


def trained_controlnet(base: DiffusionModel, **changes: Any) -> ControlNetModel | SD3ControlNetModel:
    """A ControlNet of diffusers for a base, with weights as if it had been trained."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        controlnet: Any
        if isinstance(base, StableDiffusion3):
            controlnet = SD3ControlNetModel.from_transformer(base.transformer, 2, 0)
        else:
            assert isinstance(base, UNetModel)
            controlnet = ControlNetModel.from_unet(base.unet, **changes)
        for parameter in controlnet.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    return controlnet.eval()


@pytest.mark.parametrize("kind", ["stable-diffusion", "sdxl", "sd3"])
@torch.no_grad()
def test_the_first_prediction_is_that_of_the_controlnet_with_a_condition_of_zeros(kind: str, tmp_path: Path) -> None:
    base = load_diffusion_model(str(save_family(kind, tmp_path / "base")))
    controlnet: Any = trained_controlnet(base)
    controlnet.save_pretrained(tmp_path / "controlnet")
    adapter = adapter_from_controlnet(str(tmp_path / "controlnet"), K, 8)
    torch.manual_seed(0)
    latents, layout = torch.randn(2, base.latent_channels, 4, 8), torch.randn(2, K, 4, 8)
    text, steps = base.embed(["a photo of a street", "a street at night"], 32, 64), torch.tensor([3, 700])
    # What diffusers computes if the last layer of its encoder of conditions gives zeros.
    last = controlnet.pos_embed_input.proj if kind == "sd3" else controlnet.controlnet_cond_embedding.conv_out
    last.weight.zero_(), last.bias.zero_()
    if kind == "sd3":
        # Its pipeline keeps the pooled text from ControlNets with this setting, which all published ones have.
        assert controlnet.config.force_zeros_for_pooled_projection
        pooled = torch.zeros_like(text.pooled)
        (expected,) = controlnet(
            latents, torch.randn(2, 16, 4, 8), 1.0, text.embeddings, pooled, steps, return_dict=False
        )
    else:
        options = {"added_cond_kwargs": text.added_conditions, "return_dict": False}
        down, middle = controlnet(latents, steps, text.embeddings, torch.rand(2, 3, 32, 64), **options)
        expected = (*down, middle)
    found = adapter(latents, steps, text, layout, torch.tensor([K, 1]))
    assert len(found) == len(expected)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    alone, steered = base.denoise(latents, steps, text), base.denoise(latents, steps, text, found)
    assert torch.equal(steered, base.denoise(latents, steps, text, tuple(expected)))
    assert not torch.allclose(steered, alone, atol=1e-3), "the zero convolutions are those of the ControlNet"
    adapter.save_pretrained(tmp_path / "adapter")
    again = load_adapter(tmp_path / "adapter")(latents, steps, text, layout, torch.tensor([K, 1]))
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))


def test_all_weights_but_those_of_the_condition_are_copied_whatever_the_order_of_its_colours(tmp_path: Path) -> None:
    base = load_diffusion_model(str(save_family("stable-diffusion", tmp_path / "base")))
    controlnet = trained_controlnet(base, controlnet_conditioning_channel_order="bgr")
    controlnet.save_pretrained(tmp_path / "controlnet")
    adapter = adapter_from_controlnet(str(tmp_path / "controlnet"), K)
    own = {name: value for name, value in state(adapter.controlnet).items() if "cond_embedding" not in name}
    theirs = {name: value for name, value in state(controlnet).items() if "cond_embedding" not in name}
    assert own.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in own.items())
    assert adapter.controlnet.config.controlnet_conditioning_channel_order == "rgb"


def state(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.state_dict())


def test_a_controlnet_on_the_hub_is_that_of_a_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.setattr(constants, name, str(tmp_path / "cache") if name == "HF_HUB_CACHE" else True)
    base = load_diffusion_model(str(save_family("stable-diffusion", tmp_path / "base")))
    folder, found = tmp_path / "cache" / "models--owner--controlnet", []
    (folder / "refs").mkdir(parents=True)
    for number, revision in enumerate(("a" * 40, "b" * 40)):
        controlnet = trained_controlnet(base)
        controlnet.conv_in.bias.data += number
        controlnet.save_pretrained(folder / "snapshots" / revision)
        (folder / "refs" / "main").write_text(revision)
    for wanted in (None, "a" * 40):
        found.append(state(adapter_from_controlnet("owner/controlnet", K, revision=wanted).controlnet)["conv_in.bias"])
    torch.testing.assert_close(found[0], found[1] + 1)


@pytest.mark.parametrize("fault", ["missing", "unexpected", "class", "nowhere", "shapes", "key", "pools"])
def test_weights_that_are_not_all_accounted_for_are_refused(fault: str, tmp_path: Path) -> None:
    base = load_diffusion_model(str(save_family("stable-diffusion", tmp_path / "base")))
    folder = tmp_path / "controlnet"
    trained_controlnet(base).save_pretrained(folder)
    weights = load_file(folder / WEIGHTS)
    if fault == "missing":
        del weights["controlnet_mid_block.weight"]
    if fault == "unexpected":
        weights["controlnet_down_blocks.99.weight"] = torch.zeros(1)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    changes: dict[str, dict[str, Any]] = {
        "class": {"_class_name": "ControlNetUnionModel"},
        "shapes": {"cross_attention_dim": 8},
        "key": {"in_channels": "four"},
        "pools": {"global_pool_conditions": True},
    }
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes.get(fault, {})}))
    if fault == "nowhere":
        folder = tmp_path / "nowhere"
    says = {
        "missing": "the weights lack 1 tensors of ControlNetModel, the first is 'controlnet_mid_block.weight'",
        "unexpected": "1 tensors of its weights are not those of ControlNetModel, the first is 'controlnet_down_b",
        "class": "is a ControlNetUnionModel: give a ControlNetModel or SD3ControlNetModel",
        "nowhere": r"^ControlNet '.*nowhere' cannot be loaded",
        "shapes": r"^ControlNet '.*controlnet' cannot be loaded",
        "key": r"^ControlNet '.*controlnet' cannot be loaded",
        "pools": "steers the image as a whole",
    }
    with pytest.raises(UserError, match=says[fault]):
        adapter_from_controlnet(str(folder), K)
