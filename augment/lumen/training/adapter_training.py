"""Training the layout adapter on a frozen base, for every k at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from augment.conditioning import LAYOUT, ConditioningKind
from augment.conditioning.pictures import conditioning_picture
from augment.errors import UserError
from augment.lumen.grids import save_grid
from augment.lumen.sampling.layout_sampler import LayoutSampler
from augment.lumen.sampling.request import Request
from augment.lumen.training.batches import Batches
from augment.lumen.training.objective import denoising_loss, training_schedule
from augment.lumen.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from augment.lumen.adapter import LayoutControlNet
    from augment.lumen.bases.base import DiffusionModel
    from augment.lumen.options import AdaptOptions
    from augment.lumen.training.examples import EncodedExamples, Example
    from augment.progress import OnStep


def train_adapter(
    base: DiffusionModel,
    adapter: LayoutControlNet,
    examples: EncodedExamples,
    shown: Sequence[Example],
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
        shown: images of the sample grids, of the same size.
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
    share = options.view_share
    if share and not examples.views:
        raise UserError(
            f"view_share={share}: the training samples have no views; extract them with layout.views=1 or more"
        )
    batches = Batches(examples, options, seed, ordered=conditioning == LAYOUT)

    def losses(step: int, _generator: np.random.Generator) -> dict[str, Tensor]:
        return {"denoising": denoising_loss(base, adapter, schedule, batches.take(step).to(base.device))}

    def sample(step: int) -> None:
        write_samples(base, adapter, shown, folder / "samples" / f"{step:06d}.png", precision, conditioning)
        adapter.train()

    trainer = Trainer({"adapter": adapter}, options, folder, base.device, precision, seed)
    with batches:
        trainer.run(losses, on_step, sample)
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
