"""What the stage generate does with a batch of layouts: it paints them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from augment.errors import NotFinite
from augment.layouts.region_ks import RegionKs, RegionStrengths
from augment.lumen.prompt_limit import FittedPrompt, PromptTooLong
from augment.lumen.sampling.options import SamplerOptions
from augment.prompts import PromptOptions
from pipeline.engine import Failed, Ok, Outcome, Resources, WorkUnit
from pipeline.stages.paint_request import PaintRequest, Provenance
from pipeline.store import InvalidSample, Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from augment.lumen.sampling.layout_sampler import LayoutSampler


@dataclass
class Generate:
    """Paints an image onto each layout at the unit's k, for the unit's variant.

    Attributes:
        base, adapter: models to load.
        sampling: see `LayoutSampler`.
        prompts: templates and values to choose from.
        seed: the run's seed.
        provenance: recorded with every sample.
        classes: names of the train ids, for captions of images without any other text.
        revision: commit of a base on a hub; None is its newest.
        regions: components of some classes in place of the unit's k.
        strengths: of control, of some classes.
        guidance_scales: of the variants in turn; none is that of `sampling`.
    """

    base: str
    adapter: str
    sampling: SamplerOptions
    prompts: PromptOptions
    seed: int
    provenance: Provenance
    device: str
    resources: Resources
    batch_size: int
    classes: tuple[str, ...] = ()
    revision: str | None = None
    regions: RegionKs | None = None
    strengths: RegionStrengths | None = None
    guidance_scales: tuple[float, ...] = ()
    name: str = "generate"
    _sampler: LayoutSampler | None = field(default=None, repr=False)

    def setup(self) -> None:
        """Load base model and adapter."""
        from augment.lumen.sampling.loading import load_sampler

        self._sampler = load_sampler(self.base, Path(self.adapter), self.sampling, self.device, self.revision)

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:
        """One image for each sample with layout and label; its annotations are passed on unchanged."""
        return self.begin(unit, batch)()

    def begin(self, unit: WorkUnit, batch: Sequence[Sample]) -> Callable[[], list[Outcome]]:
        """See `Pipelined`: a GPU works on the batch until its outcomes are waited for."""
        k, variant = int(str(unit.params["k"])), int(str(unit.params["variant"]))
        failed: list[Outcome] = []
        ready: list[tuple[PaintRequest, FittedPrompt]] = []
        for sample in batch:
            if sample.not_finite:
                failed.append(Failed(sample.key, f"not finite: {sample.not_finite}"))
                continue
            wanted = self.request(sample, k, variant)
            try:
                ready.append((wanted, self.sampler.base.prompt_limit.fit(wanted.prompt)))
            except PromptTooLong as error:
                failed.append(Failed(sample.key, f"prompt too long: {error}"))
        requests = [replace(wanted.request, prompt=fitted.text) for wanted, fitted in ready]
        with not_finite_is_invalid():
            images = self.sampler.begin(requests) if requests else list

        def outcomes() -> list[Outcome]:
            with not_finite_is_invalid():
                painted = zip(ready, images(), strict=True)
            return [*failed, *(self.outcome(*asked, image) for asked, image in painted)]

        return outcomes

    def outcome(self, wanted: PaintRequest, fitted: FittedPrompt, image: NDArray[np.uint8]) -> Outcome:
        """The outcome of a sample that was painted."""
        if (image == image[0, 0]).all():
            return Failed(wanted.sample.key, f"constant image: every pixel is {image[0, 0].tolist()}")
        return Ok(wanted.painted(image, fitted, self.provenance), self.notes(fitted))

    def request(self, sample: Sample, k: int, variant: int) -> PaintRequest:
        """What to paint for a sample."""
        given = self.prompts, self.classes, self.seed, self.regions, self.strengths, self.guidance_scales
        return PaintRequest.of(sample, k, variant, *given)

    @property
    def sampler(self) -> LayoutSampler:
        """The model, which `setup` loads."""
        assert self._sampler is not None
        return self._sampler

    def notes(self, fitted: FittedPrompt) -> tuple[str, ...]:
        """What the summary should count about a prompt."""
        limit = self.sampler.base.prompt_limit
        shortened = f"prompt shortened to the {limit.length} tokens that the text encoder takes"
        spelled = "prompt with words that the tokenizer does not know and spells out"
        noted = {shortened: fitted.shortened, spelled: limit.spells(fitted.text)}
        return tuple(note for note, applies in noted.items() if applies)


@contextmanager
def not_finite_is_invalid() -> Iterator[None]:
    """Raise InvalidSample where the output of the model is not finite.

    The engine tries the samples again one by one, so that only the one at fault is quarantined.
    """
    try:
        yield
    except NotFinite as error:
        raise InvalidSample(f"not finite: {error}") from error
