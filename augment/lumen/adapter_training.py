"""Training the layout adapter on a frozen base, for every k at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
import torch.nn.functional as F

from augment.conditioning import LAYOUT, ConditioningKind
from augment.conditioning.pictures import conditioning_picture
from augment.errors import UserError
from augment.layouts.views import choose_views
from augment.lumen.grids import save_grid
from augment.lumen.layout_sampler import LayoutSampler, Request
from augment.lumen.trainer import Trainer, log_uniform_int

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from diffusers import DDPMScheduler
    from numpy.typing import NDArray
    from torch import Tensor

    from augment.lumen.adapter import LayoutControlNet
    from augment.lumen.diffusion_model import DiffusionModel
    from augment.lumen.options import AdaptOptions
    from augment.progress import OnStep

TEXT_DROPOUT, TEXT_DROPOUT_WITHOUT_LAYOUT = 0.05, 0.7
SHARE_WITHOUT_LAYOUT = 0.1
SHARE_WITH_ALL_COMPONENTS = 0.3
MOST_REGIONS = 4


@dataclass(frozen=True)
class Example:
    """One training sample.

    Attributes:
        image: `uint8 [H, W, 3]`.
        layout: `float16 [K, h, w]`.
        caption: text for the image.
        views: `float16 [V, K, h, w]`, the layouts of photometric copies of the image; None without any.
    """

    image: NDArray[np.uint8]
    layout: NDArray[np.float16]
    caption: str
    views: NDArray[np.float16] | None = None

    def layout_of(self, view: int | None) -> NDArray[np.float16]:
        """The layout `float16 [K, h, w]` of a view, or that of the image where it is None."""
        if view is None:
            return self.layout
        assert self.views is not None
        return self.views[view]


class Examples(Protocol):
    """Random access to training examples, all of one size."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


@dataclass(frozen=True)
class Batch:
    """Clean latents `float32 [B, C, H, W]`, layouts `float32 [B, K, h, w]`, components to use, captions.

    The components to use are `int64 [B]`, or `int64 [B, h, w]` where they differ by cell.
    """

    latents: Tensor
    layout: Tensor
    k: Tensor
    captions: list[str]


def sample_k(generator: np.random.Generator, num_components: int, *, ordered: bool = True) -> int:
    """Sample a number of components to train on: sometimes 0, often all, else log-uniform in 1..`num_components`.

    Of components that have no order, 0 or all.
    """
    choice = generator.random()
    if choice < SHARE_WITHOUT_LAYOUT:
        return 0
    if not ordered or choice < SHARE_WITHOUT_LAYOUT + SHARE_WITH_ALL_COMPONENTS:
        return num_components
    return log_uniform_int(generator, 1, num_components)


def components_used(
    generator: np.random.Generator, ks: Sequence[int], shape: tuple[int, ...], share: float, *, ordered: bool = True
) -> NDArray[np.int64]:
    """The ks `int64 [B]`; or `int64 [B, h, w]`, if a share of the samples has rectangles with a k of their own.

    There are one to four rectangles, which may overlap; all other cells have the k of the sample.

    Args:
        generator: of random numbers.
        ks: of the samples.
        shape: of their layouts, (K, h, w).
        share: 0..1.
        ordered: see `sample_k`.
    """
    if not share:
        return np.array(ks, np.int64)
    components, *grid = shape
    used = np.empty((len(ks), *grid), np.int64)
    for cells, k in zip(used, ks, strict=True):
        cells[:] = k
        count = int(generator.integers(1, MOST_REGIONS + 1)) if generator.random() < share else 0
        for _ in range(count):
            (top, bottom), (left, right) = (np.sort(generator.integers(0, side + 1, size=2)) for side in grid)
            cells[top:bottom, left:right] = sample_k(generator, components, ordered=ordered)
    return used


def drop_captions(captions: Sequence[str], ks: Sequence[int], generator: np.random.Generator) -> list[str]:
    """Empty some captions, most of those without a layout: guidance compares with a sample that has neither."""
    return [
        "" if generator.random() < (TEXT_DROPOUT if k else TEXT_DROPOUT_WITHOUT_LAYOUT) else caption
        for caption, k in zip(captions, ks, strict=True)
    ]


def training_schedule(base: DiffusionModel) -> DDPMScheduler:
    """The noise schedule that the base was trained with, for adding noise."""
    from diffusers import DDPMScheduler

    return DDPMScheduler.from_config(base.schedule)


def denoising_loss(
    base: DiffusionModel,
    adapter: LayoutControlNet,
    schedule: DDPMScheduler,
    batch: Batch,
    with_adapter: Tensor | None = None,
) -> Tensor:
    """Mean squared error of the base's prediction, with the adapter's residuals, at random noise levels.

    The target is what the base was trained to predict: the noise, or the velocity of Salimans and Ho,
    *Progressive distillation for fast sampling of diffusion models*, 2022, eq. 12 (appendix D).

    Args:
        base, adapter, schedule: the models; gradients flow into parameters that require them.
        batch: clean samples.
        with_adapter: `bool [B]`, samples that the adapter steers; all where it is None.
    """
    latents = batch.latents
    noise = torch.randn_like(latents)
    steps = torch.randint(0, schedule.config.num_train_timesteps, (len(latents),), device=latents.device)
    noisy = schedule.add_noise(latents, noise, steps)
    text = base.embed(batch.captions)
    down, middle = adapter(noisy, steps, text, batch.layout, batch.k)
    if with_adapter is not None:
        mask = with_adapter.to(noisy.dtype).view(-1, 1, 1, 1)
        down, middle = [part * mask for part in down], middle * mask
    prediction = base.unet(
        noisy, steps, text, down_block_additional_residuals=down, mid_block_additional_residual=middle
    ).sample
    velocity = schedule.config.prediction_type == "v_prediction"
    target = schedule.get_velocity(latents, noise, steps) if velocity else noise
    return F.mse_loss(prediction.float(), target.float())


def train_adapter(
    base: DiffusionModel,
    adapter: LayoutControlNet,
    examples: Examples,
    options: AdaptOptions,
    folder: Path,
    on_step: OnStep,
    precision: str = "bf16",
    seed: int = 0,
    conditioning: ConditioningKind = LAYOUT,
) -> None:
    """Train the adapter in place on a frozen base; an interrupted run resumes from `folder`.

    Writes `loss.jsonl`, `checkpoint.safetensors` and `samples/<step>.png` (rows: real, layout, k = 0, 1, 5, all; of
    another conditioning k = 0 and all).

    Args:
        base: frozen, on the device to train on.
        adapter: gets the averaged weights at the end.
        examples: training data.
        options: length and speed, and the share of the samples that are shown with the layout of a view.
        folder: where the run is kept.
        on_step: called after every step.
        precision: `bf16` or `fp32`, of training and sample grids.
        seed: seed of the training.
        conditioning: kind of the examples' layouts.

    Raises:
        UserError: views are to be trained on, and the examples have none.
    """
    adapter.to(base.device).train().requires_grad_(True)
    schedule = training_schedule(base)
    share, views = options.view_share, 0 if examples[0].views is None else len(examples[0].views)
    if share and not views:
        raise UserError(
            f"view_share={share}: the training samples have no views; extract them with layout.views=1 or more"
        )
    ordered = conditioning == LAYOUT
    cache: dict[int, Tensor] = {}

    @torch.no_grad()
    def latents(picks: Sequence[int], items: Sequence[Example]) -> Tensor:
        fresh = {pick: item.image for pick, item in zip(picks, items, strict=True) if pick not in cache}
        if fresh:
            encoded = base.encode(np.stack(list(fresh.values())))
            cache.update(zip(fresh, encoded.half().cpu(), strict=True))
        return torch.stack([cache[pick].float() for pick in picks]).to(base.device)

    def losses(_step: int, generator: np.random.Generator) -> dict[str, Tensor]:
        picks = [int(pick) for pick in generator.integers(len(examples), size=options.batch_size)]
        items = [examples[pick] for pick in picks]
        ks = [sample_k(generator, len(items[0].layout), ordered=ordered) for _ in items]
        used = components_used(generator, ks, items[0].layout.shape, options.k_regions, ordered=ordered)
        most = used.reshape(len(used), -1).max(axis=1).tolist()
        captions = drop_captions([item.caption for item in items], most, generator)
        # After all other random choices, which are the same with and without views.
        chosen = choose_views(len(items), views, share, generator)
        layouts = np.stack([item.layout_of(view) for item, view in zip(items, chosen, strict=True)])
        layout = torch.from_numpy(layouts).float().to(base.device)
        batch = Batch(latents(picks, items), layout, torch.from_numpy(used).to(base.device), captions)
        return {"denoising": denoising_loss(base, adapter, schedule, batch)}

    shown = [examples[int(index)] for index in np.linspace(0, len(examples) - 1, min(8, len(examples)))]

    def sample(step: int) -> None:
        write_samples(base, adapter, shown, folder / "samples" / f"{step:06d}.png", precision, conditioning)
        adapter.train()

    Trainer({"adapter": adapter}, options, folder, base.device, precision, seed).run(losses, on_step, sample)
    adapter.eval().requires_grad_(False)


def write_samples(
    base: DiffusionModel,
    adapter: LayoutControlNet,
    examples: Sequence[Example],
    path: Path,
    precision: str,
    conditioning: ConditioningKind = LAYOUT,
) -> None:
    """Write a grid: the real images, their layouts, and images painted on these at the ks of `train_adapter`."""
    sampler = LayoutSampler(base, adapter, num_steps=20, guidance_scale=2.0, precision=precision)
    rows = [np.stack([example.image for example in examples])]
    height, width = rows[0].shape[1:3]
    rows.append(np.stack([conditioning_picture(conditioning, item.layout, height, width) for item in examples]))
    components: int = adapter.config.num_components
    between = {1, min(5, components)} if conditioning == LAYOUT else set()
    for k in sorted({0, components} | between):
        requests = [Request(example.layout, k, example.caption, seed) for seed, example in enumerate(examples)]
        rows.append(np.stack(sampler.generate(requests)))
    save_grid(rows, path)
