"""Training the layout adapter on a frozen base, for every k at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from augment.conditioning import LAYOUT, ConditioningKind
from augment.conditioning.pictures import conditioning_picture
from augment.errors import UserError
from augment.lumen.bases.noise import noise_schedule
from augment.lumen.grids import save_grid
from augment.lumen.sampling.layout_sampler import LayoutSampler
from augment.lumen.sampling.options import Precision, SamplerOptions
from augment.lumen.sampling.request import Request
from augment.lumen.training.batches import Batches
from augment.lumen.training.group import Group
from augment.lumen.training.objective import predict, random_noise
from augment.lumen.training.trainer import Part, Trainer
from augment.lumen.training.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from augment.lumen.adapter import Adapter
    from augment.lumen.bases.base import DiffusionModel
    from augment.lumen.options import AdaptOptions
    from augment.lumen.training.checkpoint import Checkpoint
    from augment.lumen.training.consistency import LayoutConsistency
    from augment.lumen.training.examples import EncodedExamples, Example, Examples
    from augment.lumen.training.objective import Batch
    from augment.progress import OnStep


def train_adapter(
    base: DiffusionModel,
    adapter: Adapter,
    examples: EncodedExamples,
    shown: Sequence[Example],
    options: AdaptOptions,
    folder: Path,
    on_step: OnStep,
    precision: Precision = "bf16",
    seed: int = 0,
    conditioning: ConditioningKind = LAYOUT,
    consistency: LayoutConsistency | None = None,
    held_out: Examples = (),
    *,
    group: Group = Group(),  # noqa: B008 - it is frozen
    checkpoint: Checkpoint | None = None,
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
        consistency: what `options.objective.consistency` weighs.
        held_out: examples for a validation loss, which is measured whenever a grid is written. All processes share
            both.
        group: the processes that train together, at most one for each sample of a batch. The adapter of rank 0 gets the
            averaged weights.
        checkpoint: where the checkpoint is kept; None is in `folder`.

    Raises:
        PeerLost: another process of the group has ended.
        UserError: there are more processes than samples in a batch; or views are to be trained on, and the examples
            have none.
    """
    if group.size > options.batch_size:
        raise UserError(f"batch_size={options.batch_size}: {group.size} workers need at least a sample each")
    adapter.to(base.device).train().requires_grad_(True)
    if options.gradient_checkpointing:
        networks: tuple[Any, ...] = (adapter.controlnet, base.network)
        for network in networks:
            network.enable_gradient_checkpointing()
    schedule = noise_schedule(base)
    share, objective = options.view_share, options.objective
    if share and not examples.views:
        raise UserError(
            f"view_share={share}: the training samples have no views; extract them with layout.views=1 or more"
        )
    rows = group.rows(options.batch_size)
    batches = Batches(examples, options, seed, ordered=conditioning == LAYOUT, rows=rows)

    def parts(step: int, _generator: np.random.Generator) -> list[Part]:
        """The parts of this process."""
        count, samples = options.batch_size, batches.take(step).to(base.device)
        noise, levels = random_noise(schedule, samples.latents.new_empty(count, *samples.latents.shape[1:]))
        batch = samples.with_noise(noise[rows.start : rows.stop], levels[rows.start : rows.stop])
        size = options.micro_batch or len(rows)
        smaller = [batch.of(slice(start, start + size)) for start in range(0, len(rows), size)]
        return [Part(len(part.captions) / count, partial(losses, part)) for part in smaller]

    def losses(batch: Batch) -> dict[str, Tensor]:
        prediction = predict(base, adapter, schedule, batch)
        terms = {"denoising": prediction.loss(objective.min_snr_gamma)}
        if consistency is not None:
            terms["consistency"] = objective.consistency * consistency(base, batch, prediction)
        return terms

    ks = shown_ks(adapter.config.num_components, conditioning)

    def sample(step: int) -> dict[str, float] | None:
        path = folder / "samples" / f"{step:06d}.png"
        write_samples(base, adapter, shown, ks, path, precision, conditioning, group)
        validation = Validation(base, schedule, held_out, ks, options.micro_batch or len(rows), precision, group)
        found = validation.losses(adapter) if len(held_out) else None
        adapter.train()
        return found

    trainer = Trainer(
        {"adapter": adapter},
        options,
        folder,
        base.device,
        precision,
        seed,
        group=group,
        checkpoint=checkpoint,
        optimizer=options.optimizer,
        average_every=options.ema_every,
    )
    with batches:
        trainer.run(parts, on_step, sample)
    adapter.eval().requires_grad_(False)


def shown_ks(num_components: int, conditioning: ConditioningKind) -> tuple[int, ...]:
    """The numbers of components that grids and validation show: 0 and all, and of neural layouts 1 and 5."""
    between = {1, min(5, num_components)} if conditioning == LAYOUT else set()
    return tuple(sorted({0, num_components} | between))


def write_samples(
    base: DiffusionModel,
    adapter: Adapter,
    examples: Sequence[Example],
    ks: Sequence[int],
    path: Path,
    precision: Precision,
    conditioning: ConditioningKind = LAYOUT,
    group: Group = Group(),  # noqa: B008 - it is frozen
) -> None:
    """Write a grid: the real images, their layouts, and images painted on these at the given ks.

    The processes of a group, all with the same models, share the painting, and rank 0 writes.
    """
    sampler = LayoutSampler(base, adapter, SamplerOptions(precision=precision))
    real = np.stack([example.image for example in examples])
    requests = [Request(item.layout, k, item.caption, seed) for k in ks for seed, item in enumerate(examples)]
    own, count = group.rows(len(requests)), len(examples)
    painted = torch.zeros(len(requests), *real.shape[1:], dtype=torch.uint8)
    for start in range(own.start, own.stop, count):
        part = requests[start : min(start + count, own.stop)]
        painted[start : start + len(part)] = torch.from_numpy(np.stack(sampler.generate(part)))
    # Every image is zeros in all processes but one.
    painted = group.add(painted.to(base.device)).cpu()
    if not group.leads:
        return
    layouts = [conditioning_picture(conditioning, example.layout, *real.shape[1:3]) for example in examples]
    save_grid([real, np.stack(layouts), *painted.unflatten(0, (len(ks), count)).numpy()], path)
