"""The calibration that chooses how a run samples: some of its images, painted in several ways on a worker."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol

from augment.errors import UserError
from augment.lumen.prompt_limit import PromptTooLong
from augment.lumen.sampling.options import SamplerOptions
from pipeline.engine import Failed, FittingBatches, Resources, Source, WorkUnit
from pipeline.store import JSON

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from augment.lumen.sampling.layout_sampler import LayoutSampler
    from augment.lumen.sampling.request import Request
    from pipeline.stages.paint_request import PaintRequest
    from pipeline.store import Sample

# Of the trials, on the device of the workers, and about how many of them are as long as an exact one.
SECONDS, TRIALS = 60.0, 8
COMPILE: Literal["default"] = "default"
# Each worker compiles for itself. Compiling is to pay even with this many.
WORKERS = 8
# Steps for which batch sizes are timed.
TIMED_STEPS = 4


class Painter(Protocol):
    """The stage that paints; see `pipeline.stages.painting.Generate`."""

    sampling: SamplerOptions
    resources: Resources
    batch_size: int

    def setup(self) -> None:
        """Load the models."""

    @property
    def sampler(self) -> LayoutSampler:
        """The models, which `setup` loads."""

    def request(self, sample: Sample, k: int, variant: int) -> PaintRequest:
        """What to paint for a sample."""


@dataclass
class ChooseSampling:
    """Paints some images of a run in several ways, on a worker of its own.

    Attributes:
        stage: with the configured options, which are the exact ones.
        source: reads the samples.
        ks: of the run, taken in turns.
        max_loss: in grey levels.
        images: that the run paints.
    """

    stage: Painter
    source: Source
    ks: tuple[int, ...]
    max_loss: float
    images: int
    name: str = "choose sampling"

    @property
    def resources(self) -> Resources:
        """Those of the stage."""
        return self.stage.resources

    def setup(self) -> None:
        """Load the models."""
        self.stage.setup()

    def run(self, unit: WorkUnit) -> dict[str, JSON]:
        """What was chosen and measured, as `artifact.json` keeps it.

        Raises:
            UserError: no sample can be painted.
        """
        from augment.lumen.sampling.calibration import best_of, timed, trials
        from augment.lumen.sampling.reuse import has_deep_blocks

        requests, exact = self._requests(unit), self.stage.sampling
        batches = FittingBatches("generate", self.stage.batch_size)

        def paint(options: SamplerOptions) -> list[NDArray[np.uint8]]:
            return batches.run(requests, self._painting(options))

        # The first call loads libraries; the second one shows what a step takes.
        paint(steps_of(exact, 1))
        [(_, one), (_, more)] = (timed(partial(paint, steps_of(exact, count))) for count in (1, TIMED_STEPS))
        image = (one + max(0.0, more - one) / (TIMED_STEPS - 1) * (exact.num_steps - 1)) / len(requests)
        # Of a slow model, fewer images.
        requests = requests[: max(2, int(SECONDS / TRIALS / image))]
        blocks = has_deep_blocks(self.stage.sampler.base)
        found = trials(paint, exact, self.max_loss, has_blocks=blocks, seconds=SECONDS)
        best = best_of(found)
        batch_size = self._batch_size(batches, best.options, requests)
        options = best.options
        if self._saved_by_compiling(options, requests, batch_size) > 0:
            options = options.model_copy(update={"compile": COMPILE})
        return {
            "options": changes(exact, options),
            "batch_size": batch_size,
            "loss": round(best.loss, 4),
            "seconds": round(best.seconds, 4),
            "exact_seconds": round(found[0].seconds, 4),
            "images": len(requests),
        }

    def _saved_by_compiling(self, options: SamplerOptions, requests: Sequence[Request], batch_size: int) -> float:
        """Seconds that compiled blocks save in the run, less those that compiling takes; 0 without an accelerator."""
        from augment.lumen.sampling.calibration import timed
        from augment.lumen.sampling.loading import compile_network

        if not self.resources.num_gpus or options.compile is not None:
            return 0.0
        filled = [requests[i % len(requests)] for i in range(batch_size)]
        paint = self._painting(steps_of(options, TIMED_STEPS))
        _, before = timed(partial(paint, filled))
        sampler = self.stage.sampler
        for network in (sampler.base.network, sampler.adapter.controlnet):
            compile_network(network, COMPILE)
        _, compiling = timed(partial(paint, filled))
        _, after = timed(partial(paint, filled))
        # Decoding, which is in both times, is not compiled.
        saved = (before - after) / min(TIMED_STEPS, options.num_steps) * options.num_steps / batch_size
        return saved * self.images - WORKERS * (compiling - after)

    def _painting(self, options: SamplerOptions) -> Callable[[Sequence[Request]], list[NDArray[np.uint8]]]:
        from augment.lumen.sampling.layout_sampler import LayoutSampler

        sampler = self.stage.sampler
        return LayoutSampler(sampler.base, sampler.adapter, options).generate

    def _requests(self, unit: WorkUnit) -> list[Request]:
        found: list[Request] = []
        for sample in self.source.read(unit):
            if isinstance(sample, Failed) or sample.not_finite:
                continue
            wanted = self.stage.request(sample, self.ks[len(found) % len(self.ks)], 0)
            try:
                text = self.stage.sampler.base.prompt_limit.fit(wanted.prompt).text
            except PromptTooLong:
                continue
            found.append(replace(wanted.request, prompt=text))
        if not found:
            raise UserError(f"generate: none of {len(unit.keys)} samples can be painted to choose how to sample")
        return found

    def _batch_size(self, batches: FittingBatches, options: SamplerOptions, requests: Sequence[Request]) -> int:
        """The fastest number of images at once that fits, by halves from the configured one."""
        from augment.lumen.sampling.calibration import FASTER, timed

        paint = self._painting(steps_of(options, TIMED_STEPS))
        chosen = size = batches.size
        best, started = math.inf, time.monotonic()
        # Of other sizes, the last images would be filled up to `fixed_batch`.
        while size >= 1 and size % (options.fixed_batch or 1) == 0 and time.monotonic() - started < SECONDS / 2:
            filled = [requests[i % len(requests)] for i in range(size)]
            _, needed = timed(partial(batches.run, filled, paint))
            if batches.size < size:
                # It did not fit, and was done in halves.
                chosen = size = batches.size
                continue
            if needed / size > best * FASTER:
                break
            best, chosen = needed / size, size
            size //= 2
        return chosen


def steps_of(options: SamplerOptions, count: int) -> SamplerOptions:
    """The options with at most this number of steps."""
    return options.model_copy(update={"num_steps": min(count, options.num_steps)})


def changes(exact: SamplerOptions, chosen: SamplerOptions) -> dict[str, JSON]:
    """The options of the sampler that differ."""
    names = set(SamplerOptions.model_fields)
    before = exact.model_dump(mode="json", include=names)
    return {
        name: value for name, value in chosen.model_dump(mode="json", include=names).items() if value != before[name]
    }
