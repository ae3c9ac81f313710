"""Training the layout adapter on a frozen base, for every k at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from augment.conditioning import LAYOUT, ConditioningKind
from augment.conditioning.pictures import conditioning_picture
from augment.errors import UserError
from augment.layouts.views import choose_views
from augment.lumen.grids import save_grid
from augment.lumen.sampling.layout_sampler import LayoutSampler
from augment.lumen.sampling.options import Precision, SamplerOptions
from augment.lumen.sampling.request import Request
from augment.lumen.training.choices import components_used, drop_captions, sample_k
from augment.lumen.training.objective import Batch, denoising_loss, training_schedule
from augment.lumen.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from augment.lumen.adapter import LayoutControlNet
    from augment.lumen.bases.base import DiffusionModel
    from augment.lumen.options import AdaptOptions
    from augment.lumen.training.examples import Example, Examples
    from augment.progress import OnStep


def train_adapter(
    base: DiffusionModel,
    adapter: LayoutControlNet,
    examples: Examples,
    options: AdaptOptions,
    folder: Path,
    on_step: OnStep,
    precision: Precision = "bf16",
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
    precision: Precision,
    conditioning: ConditioningKind = LAYOUT,
) -> None:
    """Write a grid: the real images, their layouts, and images painted on these at the ks of `train_adapter`."""
    sampler = LayoutSampler(base, adapter, SamplerOptions(precision=precision))
    rows = [np.stack([example.image for example in examples])]
    height, width = rows[0].shape[1:3]
    rows.append(np.stack([conditioning_picture(conditioning, item.layout, height, width) for item in examples]))
    components: int = adapter.config.num_components
    between = {1, min(5, components)} if conditioning == LAYOUT else set()
    for k in sorted({0, components} | between):
        requests = [Request(example.layout, k, example.caption, seed) for seed, example in enumerate(examples)]
        rows.append(np.stack(sampler.generate(requests)))
    save_grid(rows, path)
