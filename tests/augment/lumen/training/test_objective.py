"""The losses of a training: what they weigh, and what they compare."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from augment.backbones import load_backbone
from augment.errors import UserError
from augment.layouts.basis import LayoutBasis
from augment.lumen import zoo
from augment.lumen.adapter import LayoutControlNet, load_adapter
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.bases.noise import DiffusionNoise, FlowNoise, NoiseSchedule, noise_schedule
from augment.lumen.options import AdaptOptions
from augment.lumen.training.adapter_training import train_adapter, write_samples
from augment.lumen.training.choices import drop_captions, sample_k
from augment.lumen.training.consistency import LayoutConsistency
from augment.lumen.training.examples import EncodedImages, Example
from augment.lumen.training.group import Group
from augment.lumen.training.objective import Batch, Prediction, predict, snr_weights
from augment.lumen.training.objective_options import ObjectiveOptions
from augment.lumen.training.validation import Validation
from augment.progress import ignore_step
from pipeline.scenes import render_scene
from tests.augment.lumen.training.test_adapter_training import K, examples
from tests.pipeline.small_models import save_small_base

TINY = zoo.ZOO / "lumen-tiny" / "adapter"


def prediction(kind: str, *, error: float, steps: list[int], zero_snr: bool = False) -> tuple[Prediction, torch.Tensor]:
    """A prediction that is wrong by `error` everywhere, and the clean latents."""
    if kind == "flow":
        schedule: NoiseSchedule = FlowNoise({"shift": 3.0})
    else:
        schedule = DiffusionNoise(DDPMScheduler(prediction_type=kind, rescale_betas_zero_snr=zero_snr).config)
    torch.manual_seed(0)
    clean, noise = torch.randn(len(steps), 4, 3, 5), torch.randn(len(steps), 4, 3, 5)
    levels = torch.tensor(steps)
    noisy = schedule.add_noise(clean, noise, levels)
    target = schedule.target(clean, noise, levels)
    return Prediction(schedule, noisy, levels, target + error, target), clean


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "flow"])
def test_a_right_prediction_gives_back_the_clean_latents(kind: str) -> None:
    found, clean = prediction(kind, error=0, steps=[0, 300, 900])
    assert torch.allclose(found.clean, clean, atol=1e-3)
    assert found.loss() == 0


def test_velocity_gives_clean_latents_without_any_signal_and_noise_gives_none() -> None:
    found, clean = prediction("v_prediction", error=0, steps=[999], zero_snr=True)
    assert torch.allclose(found.clean, clean, atol=1e-3)
    found, _ = prediction("epsilon", error=0.1, steps=[999], zero_snr=True)
    assert torch.equal(found.clean, torch.zeros_like(found.clean))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "flow"])
@given(step=st.integers(0, 998), gamma=st.floats(0.1, 20))
def test_min_snr_weighs_the_error_of_the_clean_image_by_the_bounded_ratio(kind: str, step: int, gamma: float) -> None:
    found, clean = prediction(kind, error=0.3, steps=[step])
    signal = found.schedule.signal(found.levels)[0]
    snr = float(signal / (1 - signal))
    of_image = float((found.clean - clean).square().mean())
    assert float(found.loss(gamma)) == pytest.approx(min(snr, gamma) * of_image, rel=2e-2)


def test_min_snr_is_finite_at_both_ends() -> None:
    signal = torch.tensor([0.0, 1.0])
    assert snr_weights(signal, 5).tolist() == [1, 0]


def test_shares_of_the_options_are_those_of_the_choices() -> None:
    options = ObjectiveOptions(
        layout_dropout=0.5, all_components=0.5, text_dropout=0.0, text_dropout_without_layout=1.0
    )
    generator = np.random.default_rng(0)
    ks = [sample_k(generator, 20, options) for _ in range(2000)]
    assert set(ks) == {0, 20} and 0.45 < np.mean(np.array(ks) == 0) < 0.55
    assert drop_captions(["street"] * 3, [0, 1, 20], generator, options) == ["", "street", "street"]


def street_batch(count: int = 2) -> tuple[LayoutConsistency, Batch]:
    backbone, basis = load_backbone("dinov2-vits14"), LayoutBasis.load(TINY / "basis")
    images = np.stack([render_scene(seed, 96, 192).image for seed in range(count)])
    layout = basis.project(backbone.features(basis.prepare(images)))
    latents = load_diffusion_model("lumen-tiny").encode(images)
    k = torch.full((count,), basis.num_components)
    captions, levels = ["a photo of a street"] * count, torch.tensor([400, 300])
    torch.manual_seed(0)
    batch = Batch(latents, layout, k, captions, torch.randn_like(latents), levels)
    return LayoutConsistency.of(backbone, basis, 0.5), batch


def test_consistency_is_small_for_the_right_image_and_falls_along_its_gradient() -> None:
    consistency, batch = street_batch()
    base, adapter = load_diffusion_model("lumen-tiny"), load_adapter(TINY)
    schedule = noise_schedule(base)
    found = predict(base, adapter, schedule, batch)
    right = replace(found, output=found.target)
    swapped = replace(batch, layout=batch.layout.flip(0))
    assert float(consistency(base, batch, right)) < 0.3 * float(consistency(base, swapped, right))
    output = found.output.detach().requires_grad_(True)
    before = consistency(base, batch, replace(found, output=output))
    before.backward()
    assert output.grad is not None and float(output.grad.abs().sum()) > 0
    with torch.no_grad():
        moved = output - 0.02 * output.grad / output.grad.square().mean().sqrt()
        assert consistency(base, batch, replace(found, output=moved)) < before


def test_consistency_compares_nothing_at_k_0_or_above_its_noise_levels() -> None:
    consistency, batch = street_batch()
    base, adapter = load_diffusion_model("lumen-tiny"), load_adapter(TINY)
    schedule = noise_schedule(base)
    low, high = torch.tensor([100, 100]), torch.tensor([600, 999])
    for compared, levels, zero in (
        (batch.k, low, False),
        (torch.zeros_like(batch.k), low, True),
        (batch.k, high, True),
    ):
        asked = replace(batch, k=compared, levels=levels)
        found = predict(base, adapter, schedule, asked)
        assert (float(consistency(base, asked, found)) == 0) == zero


def test_consistency_refuses_a_backbone_without_gradients() -> None:
    class Opaque:
        name, revision, channels = "opaque", "1", 3

    with pytest.raises(UserError, match=r"^adapt.objective.consistency: no gradients flow through backbone 'opaque'"):
        LayoutConsistency.of(Opaque(), LayoutBasis.load(TINY / "basis"), 0.5)  # type: ignore[arg-type]


def weights_of(
    base: Path, folder: Path, held_out: list[Example], objective: ObjectiveOptions
) -> dict[str, torch.Tensor]:
    adapter = LayoutControlNet.from_pretrained(base / "adapter")
    options = AdaptOptions(steps=4, batch_size=4, sample_every=2, warmup_steps=1, log_every=2, objective=objective)
    model = load_diffusion_model(str(base))
    encoded = EncodedImages(model, examples())
    train_adapter(model, adapter, encoded, examples(), options, folder, ignore_step, "fp32", held_out=held_out)
    return adapter.state_dict()


def test_validation_is_logged_for_each_k_and_leaves_the_training_alone(tmp_path: Path) -> None:
    base = save_small_base(tmp_path / "base", K)
    plain = weights_of(base, tmp_path / "plain", [], ObjectiveOptions())
    watched = weights_of(base, tmp_path / "watched", examples(3), ObjectiveOptions())
    assert all(torch.equal(value, watched[key]) for key, value in plain.items())
    assert "validation" not in (tmp_path / "plain" / "loss.jsonl").read_text()
    rows = [row for row in (tmp_path / "watched" / "loss.jsonl").read_text().splitlines() if "validation" in row]
    assert len(rows) == 2
    assert all(f"validation/k={k:02d}" in row for row in rows for k in (0, 1, K))


def test_the_validation_loss_is_the_same_each_time_and_falls_with_k() -> None:
    _, batch = street_batch()
    shown = [
        Example(render_scene(seed, 96, 192).image, layout.half().numpy(), caption)
        for seed, (layout, caption) in enumerate(zip(batch.layout, batch.captions, strict=True))
    ]
    base, adapter = load_diffusion_model("lumen-tiny"), load_adapter(TINY)
    validation = Validation(base, noise_schedule(base), shown, (0, len(batch.layout[0])), 1, "fp32")
    first, *again = (validation.losses(adapter) for _ in range(2))
    assert again == [first]
    assert replace(validation, batch_size=2).losses(adapter) == pytest.approx(first, rel=1e-4)
    none, most = first.values()
    assert most < none


@dataclass(frozen=True)
class WithoutOthers(Group):
    """A process whose share is not added to those of the others."""

    def add(self, values: torch.Tensor) -> torch.Tensor:
        return values


@pytest.mark.parametrize("size", [2, 9])
def test_processes_share_the_validation_and_the_grid_and_each_image_is_of_one(size: int, tmp_path: Path) -> None:
    # Trained models, as others make much of the order of sums.
    base, adapter = load_diffusion_model("lumen-tiny"), load_adapter(TINY)
    groups, ks = [WithoutOthers(rank, size) for rank in range(size)], (0, adapter.config.num_components)
    shown = [replace(item, layout=np.repeat(item.layout, ks[1] // K, axis=0)) for item in examples(3)]
    alone = Validation(base, noise_schedule(base), shown, ks, 2, "fp32")
    parts = [replace(alone, group=group).losses(adapter) for group in groups]
    for name, value in alone.losses(adapter).items():
        assert sum(part[name] for part in parts) == pytest.approx(value, rel=1e-5)
    painted: list[torch.Tensor] = []

    @dataclass(frozen=True)
    class Painting(WithoutOthers):
        def add(self, values: torch.Tensor) -> torch.Tensor:
            painted.append(values)
            # Rank 0 is the last, and has the images of all.
            return torch.stack(painted).sum(0, dtype=torch.uint8)

    for rank in reversed(range(size)):
        write_samples(base, adapter, shown, ks, tmp_path / "shared.png", "fp32", group=Painting(rank, size))
        assert (tmp_path / "shared.png").exists() == (rank == 0)
    assert all(sum(bool(image.any()) for image in images) == 1 for images in zip(*painted, strict=True))
    write_samples(base, adapter, shown, ks, tmp_path / "alone.png", "fp32")
    grids = [np.asarray(Image.open(tmp_path / name)).astype(int) for name in ("shared.png", "alone.png")]
    assert np.abs(grids[0] - grids[1]).max() <= 1


def test_min_snr_trains_other_weights_and_they_are_finite(tmp_path: Path) -> None:
    base = save_small_base(tmp_path / "base", K)
    plain = weights_of(base, tmp_path / "plain", [], ObjectiveOptions())
    weighted = weights_of(base, tmp_path / "weighted", [], ObjectiveOptions(min_snr_gamma=5))
    assert any(not torch.equal(value, weighted[key]) for key, value in plain.items())
    assert all(bool(torch.isfinite(value).all()) for value in weighted.values())
