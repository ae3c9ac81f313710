"""A small text-to-image U-Net and its layout adapter, trained together from scratch.

A big base is best kept frozen. Here the base is as small as the adapter, so both learn at once: part of every batch is
predicted without the adapter, so that the base also works alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from augment.conditioning import LAYOUT
from augment.layouts.views import choose_views
from augment.lumen.bases.noise import noise_schedule
from augment.lumen.training.adapter_training import shown_ks, write_samples
from augment.lumen.training.choices import drop_captions, sample_k
from augment.lumen.training.examples import Example
from augment.lumen.training.objective import Batch, predict, random_noise
from augment.lumen.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from diffusers import UNet2DConditionModel
    from torch import Tensor

    from augment.lumen.adapter import Adapter
    from augment.lumen.bases.stable_diffusion import StableDiffusion
    from augment.lumen.options import DiffusionOptions
    from augment.progress import OnStep

SHARE_WITHOUT_ADAPTER = 0.15


@dataclass(frozen=True)
class LatentSet:
    """Training samples of one size, encoded once.

    Attributes:
        latents: `float16 [N, C, H, W]`, of unit variance over all channels.
        layouts: `float16 [N, K, H, W]`.
        captions: N texts.
        weight: relative frequency of this set in training steps.
        views: `float16 [N, V, K, H, W]`, layouts of photometric copies; None without any.
    """

    latents: Tensor
    layouts: Tensor
    captions: list[str]
    weight: float
    views: Tensor | None = None

    def layouts_of(self, picks: Sequence[int], chosen: Sequence[int | None]) -> Tensor:
        """Layouts `float16 [B, K, H, W]` of samples: of a view of each, or of its image where that is None."""
        layouts = self.layouts[picks]
        for row, (pick, view) in enumerate(zip(picks, chosen, strict=True)):
            if view is not None:
                assert self.views is not None
                layouts[row] = self.views[pick, view]
        return layouts


def new_unet(channels: Sequence[int], latent_channels: int, text_width: int) -> UNet2DConditionModel:
    """An untrained U-Net with three levels, attention on the two coarser ones and one residual block a level."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16,
        in_channels=latent_channels,
        out_channels=latent_channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=tuple(channels),
        layers_per_block=1,
        cross_attention_dim=text_width,
        attention_head_dim=8,
        norm_num_groups=16,
    )


def new_schedule() -> dict[str, Any]:
    """Noise schedule of a new base: velocity prediction and zero terminal signal.

    Lin et al., *Common diffusion noise schedules and sample steps are flawed*, 2024: without a last step of pure
    noise, the mean of the data fixes the brightness of an image, and night scenes are never dark.
    """
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
    )
    return dict(scheduler.config)


def train_diffusion(
    base: StableDiffusion,
    adapter: Adapter,
    sets: Sequence[LatentSet],
    shown: Sequence[Sequence[Example]],
    options: DiffusionOptions,
    seed: int,
    folder: Path,
    on_step: OnStep,
) -> None:
    """Train U-Net, text encoder and adapter in place; an interrupted run resumes from `folder`.

    Args:
        base, adapter: new models; the base's autoencoder is already trained and does not change.
        sets: training samples; a step takes its batch from one of them.
        shown: examples of each size for the sample grids, `samples/<step>-<index>.png`.
        options: length and speed, and the share of the samples that are shown with the layout of a view.
        seed, folder, on_step: see `Trainer`.
    """
    device = base.device
    for module in (base.unet, base.text_encoder, adapter):
        module.train().requires_grad_(True)
    modules = {"unet": base.unet, "text_encoder": base.text_encoder, "adapter": adapter}
    schedule = noise_schedule(base)
    shares = np.array([part.weight for part in sets]) / sum(part.weight for part in sets)

    def losses(_step: int, generator: np.random.Generator) -> dict[str, Tensor]:
        part = sets[int(generator.choice(len(sets), p=shares))]
        picks = torch.from_numpy(generator.integers(len(part.captions), size=options.batch_size))
        ks = [sample_k(generator, part.layouts.shape[1]) for _ in picks]
        captions = drop_captions([part.captions[int(pick)] for pick in picks], ks, generator)
        with_adapter = torch.from_numpy(generator.random(options.batch_size) >= SHARE_WITHOUT_ADAPTER)
        # After all other random choices, which are the same with and without views.
        chosen = choose_views(options.batch_size, options.views, options.view_share, generator)
        latents = part.latents[picks].float().to(device)
        batch = Batch(
            latents,
            part.layouts_of(picks.tolist(), chosen).float().to(device),
            torch.tensor(ks, device=device),
            captions,
            *random_noise(schedule, latents),
        )
        return {"denoising": predict(base, adapter, schedule, batch, with_adapter.to(device)).loss()}

    ks = shown_ks(adapter.config.num_components, LAYOUT)

    def sample(step: int) -> None:
        for index, examples in enumerate(shown):
            path = folder / "samples" / f"{step:06d}-{index}.png"
            write_samples(base, adapter, examples, ks, path, options.precision)
        adapter.train()

    trainer = Trainer(modules, options, folder, device, options.precision, seed, options.cooldown)
    trainer.run(losses, on_step, sample)
    for module in modules.values():
        module.eval().requires_grad_(False)
