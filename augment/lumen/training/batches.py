"""The batches of a training of the adapter, read ahead by threads in the order of the steps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from augment.layouts.views import choose_views
from augment.lumen.training.choices import components_used, drop_captions, sample_k
from augment.lumen.training.examples import Encoded, text_of
from augment.lumen.training.objective import Batch
from augment.lumen.training.trainer import step_generator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray
    from torch import Tensor

    from augment.lumen.bases.text import Text
    from augment.lumen.options import AdaptOptions
    from augment.lumen.training.examples import EncodedExamples

# Batches that are read before their step, so that a slow read delays no step.
AHEAD = 4
# They mostly wait for a disk or an object store.
THREADS = 8


@dataclass(frozen=True)
class Choices:
    """The random choices of one step, a row for each sample of its batch.

    Attributes:
        picks: numbers of the samples.
        used: components to use, `int64 [B]` or `int64 [B, h, w]`.
        captioned: which samples keep their caption.
        views: the photometric copies whose layouts are shown, or None for that of the image.
        versions: see `EncodedExamples`.
    """

    picks: Sequence[int]
    used: NDArray[np.int64]
    captioned: Sequence[bool]
    views: Sequence[int | None]
    versions: Sequence[int]


def choose(examples: EncodedExamples, options: AdaptOptions, seed: int, step: int, *, ordered: bool = True) -> Choices:
    """Choose the batch of a step; it depends on seed and step, and not on the number of workers.

    Args:
        examples: to choose from.
        options: size of the batch, and shares.
        seed: of the training.
        step: 0 is the first.
        ordered: whether the components of a layout have an order; see `sample_k`.
    """
    generator = step_generator(seed, step)[0]
    picks = generator.integers(len(examples), size=options.batch_size).tolist()
    objective = options.objective
    ks = [sample_k(generator, examples.shape[0], objective, ordered=ordered) for _ in picks]
    used = components_used(generator, ks, examples.shape, options.k_regions, objective, ordered=ordered)
    most = used.reshape(len(used), -1).max(axis=1).tolist()
    captioned = [bool(kept) for kept in drop_captions(["kept"] * len(picks), most, generator, objective)]
    # After all other random choices, which are the same with and without views and versions.
    views = choose_views(len(picks), examples.views, options.view_share, generator)
    several = examples.versions > 1
    versions = generator.integers(examples.versions, size=len(picks)).tolist() if several else [0] * len(picks)
    return Choices(picks, used, captioned, views, versions)


@dataclass(frozen=True)
class Samples:
    """Samples of a batch; see `Batch`."""

    latents: Tensor
    layout: Tensor
    k: Tensor
    captions: list[str]
    text: Text

    def to(self, device: torch.device) -> Samples:
        """The same on a device."""
        latents, layout, k = (part.to(device) for part in (self.latents, self.layout, self.k))
        return Samples(latents, layout, k, self.captions, self.text.to(device))

    def with_noise(self, noise: Tensor, levels: Tensor) -> Batch:
        """The batch of these samples with noise at some levels."""
        return Batch(self.latents, self.layout, self.k, self.captions, noise, levels, self.text)


class Batches(AbstractContextManager["Batches"]):
    """Reads the batches of successive steps in threads, a few steps ahead; memory does not grow with the set.

    Args:
        examples: to read from.
        options: see `choose`.
        seed: of the training.
        ordered: see `choose`.
        rows: the samples of each batch to read, such as those of one process; all where it is None.
    """

    def __init__(
        self,
        examples: EncodedExamples,
        options: AdaptOptions,
        seed: int,
        *,
        ordered: bool = True,
        rows: Sequence[int] | None = None,
    ) -> None:
        self._examples, self._options, self._seed, self._ordered = examples, options, seed, ordered
        self._rows = list(range(options.batch_size) if rows is None else rows)
        self._ahead: dict[int, tuple[Choices, list[Future[Encoded]]]] = {}
        self._pool = ThreadPoolExecutor(THREADS, "read-batch")

    def take(self, step: int) -> Samples:
        """The batch of a step, in main memory, and begin to read those that follow it.

        Raises:
            CorruptStore: a sample does not read; so may other errors of the store.
        """
        for following in range(step, min(step + AHEAD, max(self._options.steps, step + 1))):
            if following not in self._ahead:
                self._ahead[following] = self._begin(following)
        choices, reads = self._ahead.pop(step)
        samples = [read.result() for read in reads]
        rows = self._rows
        texts = [
            sample.text if choices.captioned[row] else self._examples.empty
            for row, sample in zip(rows, samples, strict=True)
        ]
        captions = [sample.caption if choices.captioned[row] else "" for row, sample in zip(rows, samples, strict=True)]
        return Samples(
            torch.from_numpy(np.stack([sample.latents for sample in samples])).float(),
            torch.from_numpy(np.stack([sample.layout for sample in samples])).float(),
            torch.from_numpy(choices.used[rows]),
            captions,
            text_of(texts),
        )

    def _begin(self, step: int) -> tuple[Choices, list[Future[Encoded]]]:
        choices = choose(self._examples, self._options, self._seed, step, ordered=self._ordered)
        reads = [
            self._pool.submit(self._examples.get, choices.picks[row], choices.versions[row], choices.views[row])
            for row in self._rows
        ]
        return choices, reads

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
