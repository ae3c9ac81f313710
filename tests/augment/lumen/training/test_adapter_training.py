"""The adapter learns, at every k, on a base that stays frozen; and a base model can be made from nothing."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from augment.backbones import load_backbone
from augment.errors import UserError
from augment.layouts.basis import LayoutBasis
from augment.lumen import zoo
from augment.lumen.adapter import LayoutControlNet, load_adapter
from augment.lumen.bases.base import DiffusionModel
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.bases.noise import noise_schedule
from augment.lumen.options import AdaptOptions
from augment.lumen.sampling.options import Precision
from augment.lumen.training.adapter_training import train_adapter
from augment.lumen.training.checkpoint import Checkpoint, Folder
from augment.lumen.training.choices import components_used, sample_k
from augment.lumen.training.examples import Encoded, EncodedImages, Example
from augment.lumen.training.objective import Batch, predict, random_noise
from augment.progress import TrainingStep, ignore_step
from augment.prompts import caption
from pipeline.scenes import render_scene
from tests.augment.lumen.bases.small_families import save_family
from tests.pipeline.small_models import save_small_base

K = 4


def examples(count: int = 6) -> list[Example]:
    """Images with two halves, each as bright as the first component of the layout there."""
    generator = np.random.default_rng(0)
    result = []
    for _ in range(count):
        levels = generator.uniform(-1, 1, size=2)
        layout = np.zeros((K, 4, 8), np.float16)
        layout[0, :, :4], layout[0, :, 4:] = levels
        image = np.repeat(np.repeat(128 + 100 * layout[0], 8, 0), 8, 1)[..., None].repeat(3, 2).astype(np.uint8)
        result.append(Example(image, layout, "a photo of a street, day"))
    return result


def test_training_moves_the_adapter_and_leaves_the_base_alone(tmp_path: Path) -> None:
    base = load_diffusion_model(str(save_small_base(tmp_path / "base", K)))
    before = base.digest()
    adapter = LayoutControlNet.from_pretrained(tmp_path / "base" / "adapter")
    weights = {key: value.clone() for key, value in adapter.state_dict().items()}
    options = AdaptOptions(steps=4, batch_size=4, learning_rate=4e-4, sample_every=4, log_every=2)
    train_adapter(base, adapter, EncodedImages(base, examples()), examples(), options, tmp_path / "run", ignore_step)
    assert base.digest() == before
    assert any(not torch.equal(value, weights[key]) for key, value in adapter.state_dict().items())
    assert len((tmp_path / "run" / "loss.jsonl").read_text().splitlines()) == 2
    with Image.open(tmp_path / "run" / "samples" / "000004.png") as grid:
        assert grid.size == (6 * 64, 5 * 32)


def test_every_k_has_its_share_of_the_training() -> None:
    generator = np.random.default_rng(0)
    counts = np.bincount([sample_k(generator, 20) for _ in range(20_000)], minlength=21) / 20_000
    assert counts[0] == pytest.approx(0.1, abs=0.01)
    assert counts[20] == pytest.approx(0.31, abs=0.02)
    assert (counts[1:20] > 0.005).all()
    unordered = [sample_k(generator, 64, ordered=False) for _ in range(20_000)]
    assert set(unordered) == {0, 64}
    assert unordered.count(0) / 20_000 == pytest.approx(0.1, abs=0.01)


def trained(base: Path, folder: Path, k_regions: float) -> dict[str, torch.Tensor]:
    adapter = LayoutControlNet.from_pretrained(base / "adapter")
    options = AdaptOptions(steps=3, batch_size=4, sample_every=4, warmup_steps=1, k_regions=k_regions)
    model = load_diffusion_model(str(base))
    train_adapter(model, adapter, EncodedImages(model, examples()), examples(), options, folder, ignore_step, "fp32")
    return adapter.state_dict()


def test_training_with_regions_of_k_differs_and_is_repeatable(tmp_path: Path) -> None:
    base = save_small_base(tmp_path / "base", K)
    plain, *regions = (trained(base, tmp_path / f"{index}", share) for index, share in enumerate((0, 0.5, 0.5)))
    assert all(torch.equal(value, regions[1][key]) for key, value in regions[0].items())
    assert any(not torch.equal(value, plain[key]) for key, value in regions[0].items())


def test_regions_of_k_are_rectangles_with_ks_of_the_training() -> None:
    generator = np.random.default_rng(0)
    found = components_used(generator, [3] * 300, (20, 6, 10), 1.0)
    assert found.shape == (300, 6, 10) and found.min() >= 0 and found.max() <= 20
    assert {len(np.unique(cells)) for cells in found} >= {2, 3, 4}
    assert (found == 3).any(axis=0).all(), "no cell always has another k"
    half = components_used(generator, [3] * 2000, (20, 6, 10), 0.5)
    assert 0.3 < (half != 3).any(axis=(1, 2)).mean() < 0.5, "a rectangle may be empty"
    assert set(np.unique(components_used(generator, [0] * 50, (20, 6, 10), 1.0, ordered=False))) == {0, 20}
    assert components_used(generator, [1, 5], (20, 6, 10), 0).tolist() == [1, 5]


@pytest.fixture(scope="module")
def street_examples() -> list[Example]:
    """Rendered scenes that no model was trained on, with their layouts in the shipped adapter's basis."""
    basis = LayoutBasis.load(zoo.ZOO / "lumen-tiny" / "adapter" / "basis")
    scenes = [render_scene(seed, 96, 192) for seed in range(6)]
    layouts = basis.project(load_backbone(basis.backbone).features(np.stack([scene.image for scene in scenes])))
    return [
        Example(
            scene.image,
            layout.numpy().astype(np.float16),
            caption({"medium": "rendered", **scene.attributes}),
        )
        for scene, layout in zip(scenes, layouts, strict=True)
    ]


def test_shipped_adapter_predicts_better_with_more_of_the_layout(street_examples: list[Example]) -> None:
    """On scenes never trained on, at the same noise, the loss falls from k = 0 over 1 to all."""
    base, adapter = load_diffusion_model("lumen-tiny"), load_adapter(zoo.ZOO / "lumen-tiny" / "adapter")
    schedule = noise_schedule(base)
    count = len(street_examples)
    latents = base.encode(np.stack([example.image for example in street_examples]))
    layout = torch.from_numpy(np.stack([example.layout for example in street_examples])).float()
    losses = []
    with torch.no_grad():
        for k in (0, 1, adapter.config.num_components):
            torch.manual_seed(0)
            captions = [example.caption for example in street_examples]
            clean = latents.repeat(4, 1, 1, 1)
            ks = torch.full((4 * count,), k)
            noise = random_noise(schedule, clean)
            batch = Batch(clean, layout.repeat(4, 1, 1, 1), ks, captions * 4, *noise)
            losses.append(predict(base, adapter, schedule, batch).loss().item())
    assert losses[0] > losses[1] > losses[2]


class Viewed(EncodedImages):
    """Images with a view each, its layout the negative of their own."""

    views = 1

    def get(self, index: int, version: int, view: int | None) -> Encoded:
        found = super().get(index, version, view)
        return found if view is None else replace(found, layout=-found.layout)


def losses_of(
    folder: Path,
    base: DiffusionModel,
    shown: list[Example],
    view_share: float,
    kind: type[EncodedImages] = EncodedImages,
) -> list[float]:
    """The losses of a short training."""
    options = AdaptOptions(steps=3, batch_size=4, view_share=view_share, sample_every=3, log_every=1)
    adapter = LayoutControlNet.from_pretrained(folder.parent / "base" / "adapter")
    encoded = kind(base, shown)
    train_adapter(base, adapter, encoded, shown, options, folder, ignore_step, precision="fp32")
    rows = [json.loads(row) for row in (folder / "loss.jsonl").read_text().splitlines()]
    return [row["denoising"] for row in rows]


def test_training_on_views_is_that_on_their_layouts_and_leaves_all_other_choices_alone(tmp_path: Path) -> None:
    base = load_diffusion_model(str(save_small_base(tmp_path / "base", K)))
    plain = examples()
    turned = [replace(example, layout=-example.layout) for example in plain]
    own = losses_of(tmp_path / "own", base, plain, 0.0)
    assert losses_of(tmp_path / "unused", base, plain, 0.0, Viewed) == own
    of_views = losses_of(tmp_path / "views", base, plain, 1.0, Viewed)
    assert of_views == losses_of(tmp_path / "turned", base, turned, 0.0)
    assert of_views != own
    assert losses_of(tmp_path / "half", base, plain, 0.5, Viewed) not in (own, of_views)


def test_training_on_views_refuses_examples_without_them(tmp_path: Path) -> None:
    base = load_diffusion_model(str(save_small_base(tmp_path / "base", K)))
    with pytest.raises(UserError, match=r"^view_share=0.5: the training samples have no views"):
        losses_of(tmp_path / "run", base, examples(), 0.5)


def test_parts_of_a_batch_and_activations_computed_twice_train_the_same_adapter(tmp_path: Path) -> None:
    base = load_diffusion_model(str(save_small_base(tmp_path / "base", K)))
    rows = []
    for name, changes in {"whole": {}, "parts": {"micro_batch": 2, "gradient_checkpointing": True}}.items():
        adapter = LayoutControlNet.from_pretrained(tmp_path / "base" / "adapter")
        options = AdaptOptions(steps=3, batch_size=5, sample_every=9, warmup_steps=1, log_every=1, **changes)
        encoded = EncodedImages(base, examples())
        train_adapter(base, adapter, encoded, examples(), options, tmp_path / name, ignore_step, "fp32")
        rows.append([json.loads(row)["denoising"] for row in (tmp_path / name / "loss.jsonl").read_text().splitlines()])
    assert rows[0] == pytest.approx(rows[1], abs=2e-5)


@pytest.mark.parametrize("kind", ["sdxl", "sd3"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_adapter_of_each_family_trains_and_goes_on_as_if_undisturbed(
    kind: str, precision: Precision, tmp_path: Path
) -> None:
    """In bf16 as on a GPU: frozen weights in bf16 and trained ones in float32, in parts, with activations twice."""
    base = load_diffusion_model(str(save_family(kind, tmp_path / "base")))
    encoded, shown = EncodedImages(base, examples()), examples(2)
    lean = {"micro_batch": 1, "gradient_checkpointing": True} if precision == "bf16" else {}
    options = AdaptOptions(
        **{"steps": 3, "batch_size": 2, "warmup_steps": 1, "learning_rate": 1e-3, "log_every": 1, **lean},
        checkpoint_every=1,
        sample_every=3,
    )
    torch.manual_seed(0)
    start = base.new_adapter(K, 8)
    if precision == "bf16":
        base.network.to(torch.bfloat16)

    def trained(folder: Path, stop_at: int | None = None) -> dict[str, torch.Tensor]:
        def on_step(step: TrainingStep) -> None:
            assert np.isfinite(list(step.losses.values())).all()
            if step.step == stop_at:
                raise KeyboardInterrupt

        adapter, checkpoint = deepcopy(start), Checkpoint(Folder(folder))
        try:
            train_adapter(
                *(base, adapter, encoded, shown, options, folder, on_step, precision),
                held_out=shown,
                checkpoint=checkpoint,
            )
        finally:
            checkpoint.wait()
        return adapter.state_dict()

    whole = trained(tmp_path / "whole")
    moved = {name for name, value in start.state_dict().items() if not torch.equal(value, whole[name])}
    # The residuals are zero at first, so that all that comes before them moves later.
    assert any("controlnet_" in name for name in moved)
    assert {value.dtype for value in whole.values()} == {torch.float32}
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", stop_at=2)
    resumed = trained(tmp_path / "cut")
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())
    logs = [rows_without_speed(tmp_path / name / "loss.jsonl") for name in ("whole", "cut")]
    assert logs[0] == logs[1]


def rows_without_speed(log: Path) -> list[dict[str, float]]:
    rows = [json.loads(row) for row in log.read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "steps_per_second"} for row in rows]


def test_adapter_keeps_full_precision_on_a_frozen_base_in_half(tmp_path: Path) -> None:
    base = load_diffusion_model(str(save_small_base(tmp_path / "base", K)))
    base.network.to(torch.bfloat16)
    adapter = LayoutControlNet.from_pretrained(tmp_path / "base" / "adapter")
    options = AdaptOptions(steps=2, batch_size=2, sample_every=2, warmup_steps=1, gradient_checkpointing=True)
    train_adapter(
        base, adapter, EncodedImages(base, examples()), examples(), options, tmp_path / "run", ignore_step, "bf16"
    )
    assert {weight.dtype for weight in adapter.state_dict().values()} == {torch.float32}
    assert (tmp_path / "run" / "samples" / "000002.png").exists()
