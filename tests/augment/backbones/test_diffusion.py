"""Features of a diffusion model are those of its U-Net in diffusers, and of nothing but the image itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from huggingface_hub import constants

from augment.backbones import load_backbone
from augment.backbones.diffusion import content_noise
from augment.backbones.unet_blocks import is_diffusion_model
from augment.errors import UserError
from augment.lumen import zoo
from augment.lumen.bases.loading import load_diffusion_model

BASE = "lumen-tiny"
# Output of each up block of lumen-tiny, in pixels of the image a cell, and its channels.
BLOCKS = [(16, 192), (8, 128), (8, 80)]


def images_of(count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(count, 64, 96, 3), dtype=np.uint8)


@pytest.mark.parametrize(("block", "timestep"), [(0, 50), (1, 261), (2, 999)])
def test_features_are_the_output_of_the_up_block_in_diffusers(block: int, timestep: int) -> None:
    model = load_diffusion_model(BASE)
    images = images_of()
    outputs: list[torch.Tensor] = []
    model.network.up_blocks[block].register_forward_hook(lambda *call: outputs.append(call[-1]))
    with torch.inference_mode():
        latents = model.encode(images)
        noise = torch.stack([content_noise(image, latents.shape[1:]) for image in images])
        noisy = DDPMScheduler.from_config(model.schedule).add_noise(latents, noise, torch.tensor([timestep] * 2))
        model.network(noisy, timestep, encoder_hidden_states=model.embed(["", ""], 64, 96).embeddings)
    backbone = load_backbone(f"{BASE}?block={block}&timestep={timestep}")
    stride, channels = BLOCKS[block]
    features = backbone.features(images, stride)
    assert features.shape == (2, channels, 64 // stride, 96 // stride) and backbone.channels == channels
    torch.testing.assert_close(features, outputs[0], rtol=1e-3, atol=1e-3)
    assert backbone.features(images).shape == (2, channels, 8, 12)


def test_features_do_not_depend_on_the_rest_of_a_batch_or_on_the_call() -> None:
    backbone = load_backbone(BASE)
    together = backbone.features(images_of(3))
    apart = torch.cat([backbone.features(image[None]) for image in images_of(3)])
    torch.testing.assert_close(together, apart, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(backbone.features(images_of(3)), together, rtol=0, atol=0)


def test_another_noise_schedule_of_the_same_weights_is_another_revision(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(zoo.ZOO / BASE, model)
    assert load_backbone(str(model)).revision == load_backbone(BASE).revision
    path = model / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "beta_end": 0.02}))
    assert load_backbone(str(model)).revision != load_backbone(BASE).revision


def test_noise_is_that_of_the_image_and_normal() -> None:
    first, second = images_of()
    shape = torch.Size((8, 32, 32))
    noise = content_noise(first, shape)
    torch.testing.assert_close(content_noise(first.copy(), shape), noise, rtol=0, atol=0)
    assert (content_noise(second, shape) != noise).all()
    assert (content_noise(first.reshape(96, 64, 3), shape) != noise).all()
    assert abs(float(noise.mean())) < 0.05 and abs(float(noise.std()) - 1) < 0.05


def test_the_default_is_a_block_and_a_timestep_and_each_has_its_revision() -> None:
    names = (BASE, f"{BASE}?block=2", f"{BASE}?timestep=50", f"{BASE}?precision=bf16")
    revisions = [load_backbone(name).revision for name in names]
    assert len(set(revisions)) == len(names)
    assert load_backbone(f"{BASE}?block=1&timestep=261").revision == revisions[0]


def test_bf16_gives_nearly_the_same_features() -> None:
    one = load_backbone(BASE).features(images_of())
    other = load_backbone(f"{BASE}?precision=bf16").features(images_of())
    assert other.dtype == torch.float32
    assert torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1] > 0.99


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("block=3", r"has no up block 3: give one of 0\.\.2"),
        ("timestep=1000", r"has no timestep 1000: give one of 0\.\.999"),
        ("layer=2", "has no layer to take: give a block and a timestep"),
        ("facet=key", "has no facet to take"),
    ],
)
def test_settings_that_it_does_not_have_are_refused(settings: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_backbone(f"{BASE}?{settings}")


def test_a_folder_in_diffusers_layout_is_a_diffusion_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without it the client of the hub would try for half a minute.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert is_diffusion_model(BASE)
    assert not is_diffusion_model(str(tmp_path))
    (tmp_path / "model_index.json").write_text("{}")
    assert is_diffusion_model(str(tmp_path))
    assert not is_diffusion_model("owner/not-in-the-cache")
