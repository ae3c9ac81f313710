"""How a run samples under a bound on loss: chosen once by a calibration on its own layouts, and kept with it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol

from augment.errors import UserError
from augment.lumen.prompt_limit import PromptTooLong
from augment.lumen.sampling.options import SamplerOptions
from pipeline.engine import Failed, FittingBatches, Resources, Source, WorkUnit
from pipeline.stages.adapt import AdaptStep
from pipeline.stages.extract import ExtractStep
from pipeline.stages.generator import GeneratorOptions, sampler_inputs
from pipeline.stages.job import Job
from pipeline.stages.step import contents_of
from pipeline.stages.tools import Tools
from pipeline.store import JSON
from pipeline.workspace.artifact import Artifact, discard, require_own
from pipeline.workspace.content import content_digest
from pipeline.workspace.model_files import identity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from augment.lumen.sampling.layout_sampler import LayoutSampler
    from augment.lumen.sampling.request import Request
    from pipeline.stages.paint_request import PaintRequest
    from pipeline.store import Sample

SAMPLER_CHOICE = "sampler"
IMAGES = 8
# Of the trials, on the device of the workers, and about how many of them are as long as an exact one.
SECONDS, TRIALS = 60.0, 6
COMPILE: Literal["default"] = "default"
# Each worker compiles for itself. Compiling is to pay even with this many.
WORKERS = 8
# Steps for which batch sizes are timed, and how much faster a smaller one must be.
TIMED_STEPS, FASTER = 4, 0.97


class Painter(Protocol):
    """The stage that paints; see `pipeline.stages.generate.Generate`."""

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


class SamplerChoice:
    """The options of the sampler of a run: as configured, or as a calibration chose them under `max_loss`."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @property
    def _max_loss(self) -> float | None:
        return self._job.config.generator.max_loss

    def artifact(self) -> Artifact:
        """The choice; what it was made from does not name the device, so that a resumed run keeps it anywhere."""
        generator = self._job.config.generator
        inputs: dict[str, JSON] = {
            "layouts": content_digest(self._job.step(ExtractStep).store),
            "adapter": self._job.step(AdaptStep).record.digest,
            "base": identity(generator.base),
            "sampler": sampler_inputs(generator),
            "max_loss": self._max_loss,
        }
        names = {
            **contents_of(ExtractStep, AdaptStep),
            "base": "generator.base",
            "sampler": "generator",
            "max_loss": "generator.max_loss",
        }
        return Artifact(self._job.workspace.artifact(SAMPLER_CHOICE), "sampler", inputs, input_names=names)

    @property
    def options(self) -> GeneratorOptions:
        """How to sample.

        Raises:
            UserError: there is no choice for these inputs, though there are images.
        """
        return self._chosen[0]

    @property
    def batch_size(self) -> int:
        """Images at once: the chosen number, or as many as configured if those are fewer."""
        most = self._job.config.cluster.resources("generate").batch_size
        return min(most, self._chosen[1] or most)

    @property
    def _chosen(self) -> tuple[GeneratorOptions, int | None]:
        generator = self._job.config.generator
        if self._max_loss is None:
            return generator, None
        artifact = self.artifact()
        artifact.require_match("generate")
        record = artifact.record()
        if record is None:
            raise UserError(
                f"generator.max_loss={self._max_loss:g}: {artifact.path} is missing, which says how the images that "
                "exist were sampled: put it back, set max_loss=null, or make them again with --redo generate"
            )
        changed = record.facts["options"]
        assert isinstance(changed, dict)
        # Of the options that may change, those that are lists in JSON are tuples.
        update = {name: tuple(value) if isinstance(value, list) else value for name, value in changed.items()}
        return generator.model_copy(update=update), int(str(record.facts["batch_size"]))

    def prepare(
        self, tools: Tools, stage: Painter, source: Source, keys: Sequence[str], ks: Sequence[int], images: int
    ) -> None:
        """Choose, if a loss is allowed and that is not done.

        Args:
            tools: of the run.
            stage, source: paint with the configured options, and read what to paint.
            keys: of all sources.
            ks: of the run.
            images: that the run paints.
        """
        if self._max_loss is None or self.artifact().is_done():
            return
        self.check_prepared()
        count = min(IMAGES, len(keys))
        unit = WorkUnit("calibration", tuple(keys[len(keys) * i // count] for i in range(count)), {"variant": 0})
        tools.report(f"generate: choosing how to sample, with a loss of at most {self._max_loss:g} grey levels")
        task = ChooseSampling(stage, source, tuple(ks), self._max_loss, images)
        [(_, facts)] = tools.executor.map(task, [unit])
        with self.artifact().building(facts) as folder:
            (folder / "choice.json").write_text(json.dumps(facts, indent=2) + "\n")
        tools.report(f"generate: {describe(facts)}")

    def check_prepared(self) -> None:
        """Raise ArtifactMismatch if the existing choice was made for something else."""
        if self._max_loss is not None:
            self.artifact().require_match("generate")

    def require_resettable(self) -> None:
        """Raise UserError if a folder that is no choice is in its place."""
        require_own(self._job.workspace.artifact(SAMPLER_CHOICE))

    def discard(self) -> None:
        """Remove the choice."""
        discard(self._job.workspace.artifact(SAMPLER_CHOICE))


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
        from augment.lumen.sampling.calibration import timed, trials
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
        first, *others = trials(paint, exact, self.max_loss, has_blocks=blocks, seconds=SECONDS)
        best = min([first, *others], key=lambda tried: tried.seconds)
        batch_size = self._batch_size(batches, best.options, requests)
        options = best.options
        if self._saved_by_compiling(options, requests, batch_size) > 0:
            options = options.model_copy(update={"compile": COMPILE})
        return {
            "options": changes(exact, options),
            "batch_size": batch_size,
            "loss": round(best.loss, 4),
            "seconds": round(best.seconds, 4),
            "exact_seconds": round(first.seconds, 4),
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
            if isinstance(sample, Failed) or not sample.has_finite_layout:
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
        from augment.lumen.sampling.calibration import timed

        paint = self._painting(steps_of(options, TIMED_STEPS))
        chosen = size = batches.size
        best, started = math.inf, time.monotonic()
        while size >= 1 and time.monotonic() - started < SECONDS / 2:
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


def describe(facts: Mapping[str, JSON]) -> str:
    """What was chosen and measured, in a line."""
    changed = facts["options"]
    assert isinstance(changed, dict)
    options = ", ".join(f"{name}={value}" for name, value in changed.items()) or "no reuse"
    return (
        f"samples with {options}, {facts['batch_size']} images at once: {facts['seconds']} s an image instead of "
        f"{facts['exact_seconds']}, at a loss of {facts['loss']} grey levels on {facts['images']} images"
    )
