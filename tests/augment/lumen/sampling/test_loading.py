"""Models for sampling: their precision, their LoRAs, and the kernels that GPUs are fast with."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from augment.errors import UserError
from augment.lumen.adapter import LayoutControlNet
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.sampling import layout_sampler, lora
from augment.lumen.sampling.layout_sampler import LayoutSampler
from augment.lumen.sampling.loading import load_sampler, use_fast_kernels
from augment.lumen.sampling.lora import fuse_loras, lora_file
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.sampling.request import Request
from tests.augment.lumen.sampling.conftest import K


def sampler(folder: Path, **options: object) -> LayoutSampler:
    return load_sampler(str(folder), folder / "adapter", SamplerOptions.model_validate({"num_steps": 3, **options}))


def images(of: LayoutSampler, count: int = 3) -> NDArray[np.int64]:
    layouts = np.random.default_rng(0).normal(size=(count, K, 8, 12)).astype(np.float16)
    requests = [Request(layout, K, "a photo of a street, day", seed) for seed, layout in enumerate(layouts)]
    return np.stack(of.generate(requests)).astype(int)


def test_weights_are_in_the_precision_and_images_near_those_of_fp32(small_base: Path) -> None:
    exact = images(sampler(small_base, precision="fp32"))
    for precision, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        half = sampler(small_base, precision=precision)
        parts = (half.base.network, half.adapter, *half.base.text_encoders.values())
        assert {weight.dtype for part in parts for weight in part.parameters()} == {dtype}
        # The small autoencoder says that it overflows in fp16, as that of Stable Diffusion does.
        assert half.base.vae.dtype == (torch.float32 if precision == "fp16" else dtype)
        assert np.abs(images(half) - exact).mean() < 3


def test_images_in_half_precision_do_not_depend_on_their_batch(small_base: Path) -> None:
    half = sampler(small_base, precision="bf16")
    assert np.abs(images(half)[:1] - images(half, 1)).max() <= 2


def test_with_a_fixed_batch_images_are_the_same_bits_in_any_batch(
    small_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = sampler(small_base, precision="bf16", fixed_batch=2, guidance_scale=1)
    sizes: list[int] = []
    denoise = half.base.denoise

    def counted(latents: torch.Tensor, *rest: Any) -> torch.Tensor:
        sizes.append(len(latents))
        return denoise(latents, *rest)

    monkeypatch.setattr(half.base, "denoise", counted)
    together = images(half)
    for count in (1, 2):
        assert np.array_equal(images(half, count), together[:count])
    assert set(sizes) == {2} and len(sizes) == 3 * (2 + 1 + 1)


def test_fast_kernels_compute_the_same(small_base: Path) -> None:
    plain, fast = (sampler(small_base, precision="fp32") for _ in range(2))
    for network in (fast.base.network, fast.adapter.controlnet):
        use_fast_kernels(network)
    assert any("to_qkv" in name for name, _ in fast.base.network.named_parameters())
    assert np.abs(images(fast) - images(plain)).max() <= 1


def save_lora(path: Path, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Write a LoRA of rank 2 in the format of LCM-LoRA, with alpha 1; returns what it adds to each weight."""
    generator = torch.Generator().manual_seed(0)
    tensors, added = {}, {}
    for name, weight in weights.items():
        up = torch.randn(len(weight), 2, *[1] * (weight.ndim - 2), generator=generator)
        down = torch.randn(2, *weight.shape[1:], generator=generator)
        key = f"lora_unet_{name.removesuffix('.weight').replace('.', '_')}"
        tensors |= {f"{key}.lora_up.weight": up, f"{key}.lora_down.weight": down, f"{key}.alpha": torch.tensor(1.0)}
        added[name] = 0.5 * (up.flatten(1) @ down.flatten(1)).view_as(weight)
    save_file(tensors, path)
    return added


@pytest.mark.skipif(find_spec("peft") is None, reason="peft is not installed")
def test_a_lora_is_added_to_the_weights(small_base: Path, tmp_path: Path) -> None:
    base = load_diffusion_model(str(small_base))
    adapter = LayoutControlNet.from_pretrained(small_base / "adapter")
    before = {name: weight.clone() for name, weight in base.network.named_parameters()}
    chosen = {name: value for name, value in before.items() if name.endswith(("to_q.weight", "conv1.weight"))}
    added = save_lora(tmp_path / "lcm.safetensors", chosen)
    fuse_loras(base, adapter, [str(tmp_path)])
    after = dict(base.network.named_parameters())
    assert list(after) == list(before)
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight + added.get(name, 0), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(find_spec("peft") is None, reason="peft is not installed")
def test_a_lora_of_another_model_is_refused(small_base: Path, tmp_path: Path) -> None:
    save_lora(tmp_path / "other.safetensors", {"transformer_only.weight": torch.zeros(4, 4)})
    with pytest.raises(UserError, match=r"generator\.lora: .*other\.safetensors"):
        sampler(small_base, lora=[str(tmp_path / "other.safetensors")])


def test_without_peft_a_lora_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lora, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"generator\.lora: .* pip install"):
        lora.require_loras(["some/lora"])
    lora.require_loras([])


def test_the_file_of_a_lora_in_a_folder_must_be_clear(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds 0 files \*\.safetensors"):
        lora_file(str(tmp_path))
    for name in ("a.safetensors", "b.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"holds 2 files \*\.safetensors: name one of them"):
        lora_file(str(tmp_path))
    (tmp_path / lora.USUAL_FILE).touch()
    assert lora_file(str(tmp_path)) == str(tmp_path / lora.USUAL_FILE)
    assert lora_file("latent-consistency/lcm-lora-sdv1-5") == "latent-consistency/lcm-lora-sdv1-5"


def test_embeddings_are_kept_up_to_a_number_of_bytes(small_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    painter = sampler(small_base, precision="fp32")
    with torch.inference_mode():
        one = painter._embed("a photo", 64, 96)
        monkeypatch.setattr(layout_sampler, "PROMPTS_KEPT", 2 * one.nbytes)
        for prompt in ("a street", "a photo of a street"):
            painter._embed(prompt, 64, 96)
    assert [prompt for prompt, *_ in painter._prompts] == ["a street", "a photo of a street"]
