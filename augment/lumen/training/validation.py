"""The loss on images that no training sees, at fixed noise, for several k."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from augment.lumen.precision import autocast
from augment.lumen.sampling.decoding import images_at_once
from augment.lumen.training.group import Group
from augment.lumen.training.objective import Batch, predict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from augment.lumen.adapter import Adapter
    from augment.lumen.bases.base import DiffusionModel
    from augment.lumen.bases.noise import NoiseSchedule
    from augment.lumen.training.examples import Examples

# Noise levels of each image, evenly spaced.
LEVELS = 4


@dataclass(frozen=True)
class Validation:
    """Measures the mean squared error of an adapter.

    Each image meets the same noise and the same levels at every k and at every call, so that figures differ by what the
    adapter has learnt, and not by chance. The processes of a group share the images, and all of them get the figures.

    Attributes:
        base, schedule: the models.
        examples: images that are not trained on, at least one.
        ks: numbers of components.
        batch_size: images at once.
        precision: `bf16` or `fp32`.
        group: the processes that measure together, all with the same weights.
    """

    base: DiffusionModel
    schedule: NoiseSchedule
    examples: Examples
    ks: Sequence[int]
    batch_size: int
    precision: str
    group: Group = Group()  # noqa: RUF009 - it is frozen

    @torch.no_grad()
    def losses(self, adapter: Adapter) -> dict[str, float]:
        """`validation/k=NN` -> mean squared error."""
        own = self.group.rows(len(self.examples))
        errors = torch.zeros(len(self.examples), len(self.ks), dtype=torch.float64, device=self.base.device)
        for start in range(own.start, own.stop, self.batch_size):
            indexes = range(start, min(start + self.batch_size, own.stop))
            errors[start : indexes.stop] = self._errors(adapter, indexes)
        # To the error of an image the other processes add zeros, in any order. The mean has an order of its own.
        means = self.group.add(errors).cpu().mean(0).tolist()
        return {f"validation/k={k:02d}": mean for k, mean in zip(self.ks, means, strict=True)}

    def _errors(self, adapter: Adapter, indexes: Sequence[int]) -> torch.Tensor:
        """Means over the levels for each image and each k, `float64 [images, ks]`."""
        items = [self.examples[index] for index in indexes]
        device = self.base.device
        latents = self._encoded([item.image for item in items])
        layout = torch.from_numpy(np.stack([item.layout for item in items])).float().to(device)
        captions = [item.caption for item in items]
        height, width = items[0].image.shape[:2]
        with autocast(device, self.precision):
            text = self.base.embed(captions, height, width)
        count = self.schedule.count
        errors = torch.zeros(len(items), len(self.ks), dtype=torch.float64, device=device)
        for level in range(LEVELS):
            step = int((level + 0.5) * count / LEVELS)
            seeds = [(index, level) for index in indexes]
            noises = [np.random.default_rng(seed).standard_normal(latents.shape[1:], np.float32) for seed in seeds]
            noise = torch.from_numpy(np.stack(noises)).to(device)
            levels = torch.full((len(items),), step, device=device)
            for column, k in enumerate(self.ks):
                used = torch.full((len(items),), k, device=device)
                batch = Batch(latents, layout, used, captions, noise, levels, text)
                with autocast(device, self.precision):
                    found = predict(self.base, adapter, self.schedule, batch)
                errors[:, column] += (found.output - found.target).square().flatten(1).mean(1)
        return errors / LEVELS

    def _encoded(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Latents of images, a few at a time: the autoencoder is in float32, and would take more than a step does."""
        size = images_at_once(*images[0].shape[:2])
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        return torch.cat([self.base.encode(np.stack(part)) for part in parts])
